"""Two passes over a picture: one over its pixels, one over their neighbours. The numbers are those of torch's form."""
import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import statistics_bins as bins
from ..oklab import FOUR_THIRDS, HALLEY, LAB, LMS, ROOT_START, THIRD, linear_levels
from ..ordinal_patterns import in_order
from ..orientation_histogram import octant_edges

BLOCK, COLUMNS, WARPS = 2048, 64, 4  # twice the columns spill registers on sm_90
HUE_EDGES, ORIENTATION_EDGES = (sum(octant_edges(steps), ()) for steps in (bins.HUES, 2 * bins.ORIENTATIONS))

# Kernels may read numbers of a module only where they are marked as constants.
_LMS, _LAB = tl.constexpr(sum(LMS, ())), tl.constexpr(sum(LAB, ()))
_HALLEY, _START, _THIRD, _FOUR_THIRDS = (tl.constexpr(v) for v in (HALLEY, ROOT_START, THIRD, FOUR_THIRDS))
_CHROMA, _FINE = tl.constexpr(bins.CHROMA), tl.constexpr(bins.FINE)
_LEAST_CHROMA, _LEAST_GRADIENT = tl.constexpr(bins.LEAST_CHROMA), tl.constexpr(bins.LEAST_GRADIENT)
_HUES, _ORIENTATIONS = tl.constexpr(bins.HUES), tl.constexpr(bins.ORIENTATIONS)
_HUE_EDGES, _ORIENTATION_EDGES = tl.constexpr(HUE_EDGES), tl.constexpr(ORIENTATION_EDGES)
_LIGHTNESS_BINS, _CHROMA_BINS = tl.constexpr(bins.LIGHTNESS_BINS), tl.constexpr(bins.CHROMA_BINS)
_LEVELS, _TILE, _SUMS = tl.constexpr(bins.LEVELS), tl.constexpr(bins.TILE), tl.constexpr(bins.SUMS)


@triton.jit
def colour_pass(rgb, levels, grey_out, sum_out, sums_out, lightness, a_bins, b_bins, hues, pixels,
                BLOCK: tl.constexpr):
    """OKLab's histograms and power sums of BLOCK pixels; writes the grey and summed planes for the other pass.

    rgb: uint8 [B, 3, pixels]; levels: float32 [256]; sums_out: float32 [B, blocks, 15]; counts: int32 [B, bins]."""
    block, picture = tl.program_id(0), tl.program_id(1)
    place = block * BLOCK + tl.arange(0, BLOCK)
    inside = place < pixels
    source = rgb + picture.to(tl.int64) * 3 * pixels + place
    r = tl.load(source, mask=inside, other=0).to(tl.int32)
    g = tl.load(source + pixels, mask=inside, other=0).to(tl.int32)
    b = tl.load(source + 2 * pixels, mask=inside, other=0).to(tl.int32)
    target = picture.to(tl.int64) * pixels + place
    tl.store(grey_out + target, ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).to(tl.uint8), mask=inside)
    tl.store(sum_out + target, (r + g + b).to(tl.int16), mask=inside)

    r, g, b = tl.load(levels + r), tl.load(levels + g), tl.load(levels + b)
    x, y, z = _mixed(r, g, b, _LMS)
    light, a, b = _mixed(_cube_root(x), _cube_root(y), _cube_root(z), _LAB)
    bin = tl.minimum(light * _LIGHTNESS_BINS, _LIGHTNESS_BINS - 1.0).to(tl.int32)
    _add(lightness + picture * _LIGHTNESS_BINS, bin, inside, _LIGHTNESS_BINS, _LIGHTNESS_BINS)
    _add(a_bins + picture * _CHROMA_BINS, _chroma_bin(a), inside, _CHROMA_BINS, _CHROMA_BINS)
    _add(b_bins + picture * _CHROMA_BINS, _chroma_bin(b), inside, _CHROMA_BINS, _CHROMA_BINS)
    fine_a, fine_b = tl.floor(a * _FINE + 0.5).to(tl.int32), tl.floor(b * _FINE + 0.5).to(tl.int32)
    coloured = inside & (fine_a * fine_a + fine_b * fine_b >= _LEAST_CHROMA)
    _add(hues + picture * _HUES, _direction(fine_a, fine_b, _HUES, _HUE_EDGES), coloured, 32, _HUES)

    light, a, b = tl.where(inside, light - 0.5, 0.0), tl.where(inside, a, 0.0), tl.where(inside, b, 0.0)
    out = sums_out + (picture * tl.num_programs(0) + block) * _SUMS
    light2, a2, b2 = light * light, a * a, b * b
    powers = (light, a, b, light2, light * a, light * b, a2, a * b, b2, light2 * light, a2 * a, b2 * b,
              light2 * light2, a2 * a2, b2 * b2)
    for index in tl.static_range(15):
        tl.store(out + index, tl.sum(powers[index]))


@triton.jit
def neighbour_pass(grey, summed, ordinal, pairs, tiles, orientations, mirrored, height, width,
                   ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """What the neighbours of ROWS x COLUMNS pixels say; counts int32 (mirrored: int64), tiles written, others added.

    grey: uint8, summed: int16 [B, height, width]."""
    across, down, picture = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    y, x = down * ROWS + tl.arange(0, ROWS)[:, None], across * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = (y < height) & (x < width)
    right, below = inside & (x + 1 < width), inside & (y + 1 < height)
    place = picture.to(tl.int64) * height * width + y * width + x

    _add(ordinal + picture * 24, _order(summed + place, width, right & below), right & below, 32, 24)
    here = tl.load(grey + place, mask=inside, other=0).to(tl.int32)
    level = here >> 4
    pairs += picture * 4 * _LEVELS * _LEVELS
    _pair(pairs, level, grey + place + 1, right)
    _pair(pairs + 256, level, grey + place + width, below)
    _pair(pairs + 512, level, grey + place + width + 1, right & below)
    _pair(pairs + 768, level, grey + place + width - 1, below & (x > 0))

    block = tl.arange(0, COLUMNS * _LEVELS // _TILE)
    counts = _count((x % COLUMNS) // _TILE * _LEVELS + level, inside, COLUMNS * _LEVELS // _TILE)
    columns = tl.cdiv(width, _TILE)
    column = across * (COLUMNS // _TILE) + block // _LEVELS
    row = (picture.to(tl.int64) * tl.cdiv(height, ROWS) + down) * columns
    tl.store(tiles + (row + column) * _LEVELS + block % _LEVELS, counts, mask=column < columns)

    strong, direction = _gradient(grey + place, width, right & below & (x > 0) & (y > 0))
    _add(orientations + picture * _ORIENTATIONS, direction % _ORIENTATIONS, strong, 32, _ORIENTATIONS)
    _mirror(mirrored + picture * 2, here, grey + place + (width - 1 - 2 * x), inside)
    _mirror(mirrored + picture * 2 + 1, here, grey + place + (height - 1 - 2 * y).to(tl.int64) * width, inside)


@triton.jit
def _mixed(x, y, z, matrix: tl.constexpr):
    return (matrix[0] * x + matrix[1] * y + matrix[2] * z, matrix[3] * x + matrix[4] * y + matrix[5] * z,
            matrix[6] * x + matrix[7] * y + matrix[8] * z)


@triton.jit
def _cube_root(x):
    r = (x.to(tl.int32, bitcast=True).to(tl.float32) * -_THIRD + _START).to(tl.int32).to(tl.float32, bitcast=True)
    cube = r * r * x * r
    r = r * ((cube * _HALLEY[0] + _HALLEY[1]) * cube + _HALLEY[2])
    cube = r * r * x * r
    r = r * (cube * -_THIRD + _FOUR_THIRDS)
    return r * r * x


@triton.jit
def _chroma_bin(value):
    return ((value + _CHROMA) * (_CHROMA_BINS / (2 * _CHROMA))).to(tl.int32)


@triton.jit
def _direction(x, y, STEPS: tl.constexpr, EDGES: tl.constexpr):
    """`kernels.orientation_histogram.direction`, without the shifts that only a table needs."""
    across, along = tl.minimum(tl.abs(x), tl.abs(y)), tl.maximum(tl.abs(x), tl.abs(y))
    step = tl.zeros_like(x)
    for edge in tl.static_range(STEPS // 8):
        step += (across * EDGES[2 * edge + 1] > along * EDGES[2 * edge]).to(tl.int32)
    step = tl.where(tl.abs(y) > tl.abs(x), STEPS // 4 - step, step)
    step = tl.where(x < 0, STEPS // 2 - step, step)
    return tl.where(y < 0, STEPS - step, step) % STEPS


@triton.jit
def _order(corner, width, inside):
    """Lehmer code of the ranks of a 2 x 2 window; of equal values the first comes first."""
    a, b = tl.load(corner, mask=inside, other=0), tl.load(corner + 1, mask=inside, other=0)
    c, d = tl.load(corner + width, mask=inside, other=0), tl.load(corner + width + 1, mask=inside, other=0)
    first = (b < a).to(tl.int32) + (c < a).to(tl.int32) + (d < a).to(tl.int32)
    second = (c < b).to(tl.int32) + (d < b).to(tl.int32)
    return first * 6 + second * 2 + (d < c).to(tl.int32)


@triton.jit
def _gradient(here, width, inside):
    """Sobel's filter: where it is strong enough, and its direction in twice ORIENTATIONS steps of a turn."""
    top_left, top = tl.load(here - width - 1, mask=inside, other=0), tl.load(here - width, mask=inside, other=0)
    top_right, left = tl.load(here - width + 1, mask=inside, other=0), tl.load(here - 1, mask=inside, other=0)
    right, low_left = tl.load(here + 1, mask=inside, other=0), tl.load(here + width - 1, mask=inside, other=0)
    low, low_right = tl.load(here + width, mask=inside, other=0), tl.load(here + width + 1, mask=inside, other=0)
    main, other = low_right.to(tl.int32) - top_left.to(tl.int32), top_right.to(tl.int32) - low_left.to(tl.int32)
    x = main + other + 2 * (right.to(tl.int32) - left.to(tl.int32))
    y = main - other + 2 * (low.to(tl.int32) - top.to(tl.int32))
    return inside & (x * x + y * y >= _LEAST_GRADIENT), _direction(x, y, 2 * _ORIENTATIONS, _ORIENTATION_EDGES)


@triton.jit
def _pair(table, level, neighbour, inside):
    other = tl.load(neighbour, mask=inside, other=0).to(tl.int32) >> 4
    _add(table, level * _LEVELS + other, inside, _LEVELS * _LEVELS, _LEVELS * _LEVELS)


@triton.jit
def _mirror(out, here, mirror, inside):
    difference = tl.abs(here - tl.load(mirror, mask=inside, other=0).to(tl.int32))
    tl.atomic_add(out, tl.sum(tl.where(inside, difference, 0)).to(tl.int64))


@triton.jit
def _count(codes, inside, BINS: tl.constexpr):
    return tl.histogram(tl.reshape(codes, [codes.numel]), BINS, mask=tl.reshape(inside, [codes.numel]))


@triton.jit
def _add(counts, codes, inside, BINS: tl.constexpr, USED: tl.constexpr):
    """Adds the histogram of codes; BINS is the power of two that Triton needs, USED how many of them there are."""
    bin = tl.arange(0, BINS)
    tl.atomic_add(counts + bin, _count(codes, inside, BINS), mask=bin < USED)


def image_statistics(rgb: Tensor) -> tuple[Tensor, ...]:
    """What torch's form returns for uint8 [B, 3, H, W]; nothing waits for the device."""
    batch, _, height, width = rgb.shape
    pixels, device, tile = height * width, rgb.device, bins.TILE
    blocks, rows, columns = triton.cdiv(pixels, BLOCK), triton.cdiv(height, tile), triton.cdiv(width, tile)
    grey = torch.empty(batch, height, width, dtype=torch.uint8, device=device)
    summed = torch.empty_like(grey, dtype=torch.int16)
    sums = torch.empty(batch, blocks, bins.SUMS, device=device)
    tiles = torch.empty(batch, rows, columns, bins.LEVELS, dtype=torch.int32, device=device)
    mirrored = torch.zeros(batch, 2, dtype=torch.int64, device=device)
    sizes = (bins.LIGHTNESS_BINS, bins.CHROMA_BINS, bins.CHROMA_BINS, bins.HUES, 24, 4 * bins.LEVELS ** 2,
             bins.ORIENTATIONS)
    zeros = torch.zeros(batch * sum(sizes), dtype=torch.int32, device=device)
    lightness, a, b, hues, ordinal, pairs, orientations = counts = zeros.split([batch * size for size in sizes])
    # Fused multiply-adds would round once where torch rounds twice, and move values across edges of bins.
    colour_pass[(blocks, batch)](rgb, linear_levels(device), grey, summed, sums, lightness, a, b, hues, pixels, BLOCK,
                                 num_warps=WARPS, enable_fp_fusion=False)
    neighbour_pass[(triton.cdiv(width, COLUMNS), rows, batch)](
        grey, summed, ordinal, pairs, tiles, orientations, mirrored, height, width, tile, COLUMNS, num_warps=WARPS)
    lightness, a, b, hues, ordinal, pairs, orientations = (c.long().view(batch, -1) for c in counts)
    return (sums.double().sum(1), lightness, a, b, hues, in_order(ordinal),
            pairs.view(batch, 4, bins.LEVELS, bins.LEVELS), tiles.long(), orientations, mirrored)
