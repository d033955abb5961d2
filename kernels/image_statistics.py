"""Colour and neighbourhood statistics of 8-bit pictures in two passes: one over pixels, one over their neighbours."""
from typing import NamedTuple

import torch
from torch import Tensor

from . import dispatch
from .oklab import oklab
from .ordinal_patterns import cooccurrence, local_counts, mirrored_difference, ordinal_patterns
from .orientation_histogram import direction_table, look_up
from .statistics_bins import (
    CHROMA,
    CHROMA_BINS,
    FINE,
    HUE_REACH,
    HUES,
    LEAST_CHROMA,
    LEAST_GRADIENT,
    LIGHTNESS_BINS,
    ORIENTATIONS,
    count,
)

GRADIENT_REACH = 4 * 255
BLOCK = 2048             # pixels whose powers are summed in single precision
STRIP = 1 << 17          # pixels at a time on the CPU: what is worked on stays in its cache


class ImageStatistics(NamedTuple):
    """Of B pictures. Counts are int64 and the same on every device; moments are float64."""
    mean: Tensor
    """[B, 3] of OKLab's lightness, a and b."""
    covariance: Tensor
    """[B, 3, 3]."""
    skewness: Tensor
    """[B, 3]; 0 where the standard deviation is below 0.001."""
    kurtosis: Tensor
    """[B, 3], 3 for a normal distribution; 0 where the standard deviation is below 0.001."""
    lightness: Tensor
    """[B, 64] over 0..1."""
    a: Tensor
    """[B, 32] over -0.4..0.4."""
    b: Tensor
    """[B, 32] over -0.4..0.4."""
    hue: Tensor
    """[B, 24]: directions of (a, b) in steps of 15 degrees, the first one centred at +a; chroma 0.02 and more."""
    ordinal: Tensor
    """[B, 24]: `ordinal_patterns.ordinal_patterns` of r + g + b."""
    cooccurrence: Tensor
    """[B, 4, 16, 16]: `ordinal_patterns.cooccurrence` of the grey picture in 16 levels."""
    tiles: Tensor
    """[B, rows, columns, 16]: `ordinal_patterns.local_counts` of the same."""
    orientation: Tensor
    """[B, 24]: gradients of the grey picture in steps of 7.5 degrees of half a turn, the first one centred at 0."""
    mirrored: Tensor
    """[B, 2]: `ordinal_patterns.mirrored_difference` of the grey picture."""


def image_statistics(rgb: Tensor, backend: str | None = None, allow_triton: bool = True) -> ImageStatistics:
    """Statistics of uint8 sRGB [B, 3, H, W], H and W at least 3, at most 2^27 pixels a picture.

    backend and allow_triton: as for `merge.merge`. Raises ValueError for anything else."""
    if rgb.dtype != torch.uint8 or rgb.dim() != 4 or not len(rgb) or rgb.shape[1] != 3 or min(rgb.shape[2:]) < 3:
        raise ValueError("rgb: expected uint8 [B, 3, H, W] of at least 3 x 3 pixels, "
                         f"got {str(rgb.dtype)[6:]} {list(rgb.shape)}.")
    forms = {"torch": _torch_form, "triton": _triton_form}
    sums, *counts = dispatch.run("image_statistics", forms, rgb.device, backend, allow_triton, (rgb.contiguous(),))
    return ImageStatistics(*moments(sums, rgb.shape[2] * rgb.shape[3]), *counts)


def moments(sums: Tensor, pixels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, covariance, skewness and kurtosis from float64 [B, 15]: sums of x = (L - 0.5, a, b), of the products LL,
    La, Lb, aa, ab, bb, of the cubes and of the fourth powers."""
    raw = sums / pixels
    mean, cube, fourth = raw[:, :3], raw[:, 9:12], raw[:, 12:]
    square = raw[:, [3, 4, 5, 4, 6, 7, 5, 7, 8]].view(-1, 3, 3)
    covariance = square - mean[:, :, None] * mean[:, None]
    variance, second = (m.diagonal(dim1=1, dim2=2) for m in (covariance, square))
    third = cube - 3 * mean * second + 2 * mean ** 3
    fourth = fourth - 4 * mean * cube + 6 * mean ** 2 * second - 3 * mean ** 4
    # A deviation below 0.001 may be what single precision leaves of a flat plane.
    flat = variance <= 1e-6
    deviation = torch.where(flat, 1.0, variance).sqrt()
    return (mean + torch.tensor([0.5, 0, 0], dtype=mean.dtype, device=mean.device), covariance,
            torch.where(flat, 0.0, third / deviation ** 3), torch.where(flat, 0.0, fourth / deviation ** 4))


def grey_and_sum(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 [3, N] -> uint8 luma of ITU-R 601 in 16-bit fixed point (Pillow's L), int16 r + g + b, [N] each.

    In float32, which is faster than whole numbers and exact for them below 2^24."""
    r, g, b = rgb.float()
    luma = (r * 19595).add_(g * 38470).add_(b * 7471).add_(0x8000).mul_(2.0 ** -16)
    return luma.to(torch.uint8), r.add_(g).add_(b).to(torch.int16)


def _torch_form(rgb: Tensor) -> tuple[Tensor, ...]:
    strip = STRIP if rgb.device.type == "cpu" else rgb[0, 0].numel()
    strips = [[_strip(part) for part in one.flatten(1).split(strip, 1)] for one in rgb]
    totals = [torch.stack([sum(strip[index] for strip in one) for one in strips]) for index in range(5)]
    grey, sums = (torch.stack([torch.cat([strip[index] for strip in one]) for one in strips]).view(rgb[:, 0].shape)
                  for index in (5, 6))
    levels = grey >> 4
    return (*totals, ordinal_patterns(sums), cooccurrence(levels), local_counts(levels),
            _orientations(grey), mirrored_difference(grey))


def _strip(rgb: Tensor) -> tuple[Tensor, ...]:
    """Of uint8 [3, N]: power sums, histograms of lightness, a, b and hue, and the grey and summed planes."""
    lab = oklab(rgb)
    lightness = (lab[:1] * LIGHTNESS_BINS).clamp_(max=LIGHTNESS_BINS - 1).to(torch.uint8)
    chroma = (lab[1:] + CHROMA).mul_(CHROMA_BINS / (2 * CHROMA)).to(torch.uint8)  # sRGB does not reach 0.4
    histograms = [count(lightness, LIGHTNESS_BINS)[0], *count(chroma, CHROMA_BINS)]
    a, b = (lab[1:] * FINE).add_(0.5).floor_().int()
    hues = look_up(direction_table(HUE_REACH, HUES, HUES, LEAST_CHROMA, rgb.device), a, b)
    return _power_sums(lab), *histograms, count(hues[None], HUES + 1)[0, :HUES], *grey_and_sum(rgb)


def _power_sums(lab: Tensor) -> Tensor:
    lab[0] -= 0.5
    lab = torch.nn.functional.pad(lab, (0, -lab.shape[1] % BLOCK)).view(3, -1, BLOCK)
    square = lab * lab
    products = (square[0], lab[0] * lab[1], lab[0] * lab[2], square[1], lab[1] * lab[2], square[2])
    sums = [plane.sum(-1) for planes in (lab, products, square * lab, square * square) for plane in planes]
    return torch.stack(sums).double().sum(-1)


def _orientations(grey: Tensor) -> Tensor:
    plane = grey.short()
    across = plane[:, :, 2:] - plane[:, :, :-2]
    x = across[:, :-2] + across[:, 1:-1] * 2 + across[:, 2:]
    down = plane[:, 2:] - plane[:, :-2]
    y = down[:, :, :-2] + down[:, :, 1:-1] * 2 + down[:, :, 2:]
    table = direction_table(GRADIENT_REACH, 2 * ORIENTATIONS, ORIENTATIONS, LEAST_GRADIENT, grey.device)
    return count(look_up(table, x, y), ORIENTATIONS + 1)[:, :ORIENTATIONS]


def _triton_form(rgb: Tensor) -> tuple[Tensor, ...]:
    from .triton.image_statistics import image_statistics as on_card
    return on_card(rgb)
