"""Gradients and how their orientations repeat from part to part: the pyramid of histograms of oriented gradients.

Redies, Amirshahi, Koch & Denzler 2012, doi 10.1007/978-3-642-33863-2_53; Braun, Amirshahi, Denzler & Redies 2013, doi
10.3389/fpsyg.2013.00808.
"""
import math
import sys
from functools import lru_cache, reduce

import torch
from torch import Tensor

BINS = 16
LEVELS = 3  # 2 x 2, 4 x 4 and 8 x 8 cells
LARGEST = 510  # of twice a gradient: one-sided, between 8-bit values
ROWS_AT_ONCE = 64    # a strip stays in the processor's cache from step to step
BYTES = (0, 1, 2) if sys.byteorder == "little" else (3, 2, 1)    # of an int32, from the lowest on
EMPTY = 1e-8  # a sum of gradients up to this counts as none


def complexity(picture) -> Tensor:
    """Mean length of the gradient, the strongest of three 8-bit Lab channels at each pixel: 0 to about 130 levels."""
    strength = picture.once(orientations)
    return strength.sum((1, 2, 3)) / picture.rgb[0, 0].numel()


def anisotropy(picture) -> Tensor:
    """How unequal the directions of gradients are: standard deviation over the 8 x 8 cells' histograms, 0 (equal).

    Each histogram sums to 1, and the ground's and those of all cells together to 1.
    """
    pyramid = [_normal(level) for level in levels(picture.once(orientations))]
    whole = sum(level.sum((1, 2)) for level in pyramid)[:, None]
    return (pyramid[-1].flatten(1) / torch.where(whole > 0, whole, 1)).std(1, correction=0)


def self_similarity(picture) -> Tensor:
    """How much the parts look like the whole, 0 .. 1: overlap of their histograms of gradients, times the ratio of
    their strengths; the median over the cells of a level, and the mean over three levels. One flat colour gives 0."""
    ground, *parts = levels(picture.once(orientations))
    return torch.stack([_median(_likeness(ground, part)) for part in parts]).mean(0)


def levels(strength: Tensor) -> list[Tensor]:
    """The histograms of the whole and of the cells of each level: [B, 1, 16], [B, 4, 16], [B, 16, 16], [B, 64, 16]."""
    pyramid = [strength]
    for _ in range(LEVELS):
        batch, side = pyramid[0].shape[0], pyramid[0].shape[1] // 2
        pyramid.insert(0, pyramid[0].view(batch, side, 2, side, 2, BINS).sum((2, 4)))
    return [level.flatten(1, 2) for level in pyramid]


def orientations(picture) -> Tensor:
    """Length of the gradients in the 16 directions of each of 8 x 8 cells: [B, 8, 8, 16]."""
    return torch.stack([_cells(own) for own in picture.palettes])


def _cells(own) -> Tensor:
    height, width = own.places.shape
    lab = _continued(_plane(own))
    row, column = (_cell_of(length, lab.device) * BINS for length in (height, width))
    lengths, directions = _gradients(own.dtype, lab.device)
    table = torch.zeros((1 << LEVELS) ** 2 * BINS, dtype=own.dtype, device=lab.device)
    for first in range(0, height, ROWS_AT_ONCE):
        rows = slice(first, min(first + ROWS_AT_ONCE, height))
        gradient = _gradient(lab, rows).flatten()
        bins = (column + (row[rows, None] << LEVELS)).add_(directions.index_select(0, gradient).view(-1, width))
        table.scatter_add_(0, bins.flatten(), lengths.index_select(0, gradient))
    return table.view(1 << LEVELS, 1 << LEVELS, BINS)


@lru_cache(maxsize=2)
def _gradients(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Length and direction (uint8) of every gradient there can be, at the places that `_gradient` gives. A look-up is
    many times faster than root and angle. Must not be written into."""
    with torch.inference_mode(False):
        place = torch.arange(2 * LARGEST + 1, dtype=torch.int32, device=device)
        levels = torch.where(place % 2 == 0, place // 2, -(place + 1) // 2)     # as `_strongest` writes them
        down, right = levels[:, None].expand(-1, len(levels)), levels.expand(len(levels), -1)
        length = torch.sqrt((down * down + right * right).to(dtype)) / 2
        return length.flatten(), direction(down, right).to(torch.uint8).flatten()


def direction(down: Tensor, right: Tensor) -> Tensor:
    """The bin, 0..15, of the direction of int32 gradients of up to 510 levels; no bin ends at a ratio of two whole
    numbers, and float32 tells all of these from the ends."""
    turn = torch.atan2(down.float(), right.float()).mul_(BINS / (2 * math.pi))
    return turn.add_(BINS / 2 + 0.5).int() & BINS - 1


def _plane(own) -> Tensor:
    """L*a*b* of each pixel as Matlab stores it, int16 [3, H, W]; the three of a colour are looked up as one number."""
    lightness, a, b = _eight_bit(own.lab).int().clamp_(0, 255)
    channels = own.plane(lightness | a << 8 | b << 16).view(torch.uint8).view(*own.places.shape, 4)
    return torch.stack([channels[..., place].short() for place in BYTES])


def _eight_bit(lab: Tensor) -> Tensor:
    """L*a*b* [3, U] as Matlab stores it, int16: L* 0..255 rounded, a* and b* shifted by 128 and cut."""
    return torch.stack(((lab[0] / 100 * 255).round(), (lab[1] + 128).trunc(), (lab[2] + 128).trunc())).short()


def _continued(lab: Tensor) -> Tensor:
    """int16 [3, H, W] -> [3, H + 2, W + 2]: a rim beyond the rim that goes on as straight as it came, so that central
    differences there are the one-sided ones."""
    whole = torch.nn.functional.pad(lab, (1, 1, 1, 1))
    whole[:, 0], whole[:, -1] = 2 * whole[:, 1] - whole[:, 2], 2 * whole[:, -2] - whole[:, -3]
    whole[..., 0], whole[..., -1] = 2 * whole[..., 1] - whole[..., 2], 2 * whole[..., -2] - whole[..., -3]
    return whole


def _gradient(lab: Tensor, rows: slice) -> Tensor:
    """Twice the gradient, downwards and to the right, in some rows of `_continued`, as its place in `_gradients`.

    Central differences; of the three channels the one that differs most, each way on its own.
    """
    around = lab[:, rows.start:rows.stop + 2]
    down = _strongest(around[:, 2:, 1:-1], around[:, :-2, 1:-1])
    right = _strongest(around[:, 1:-1, 2:], around[:, 1:-1, :-2])
    return down.int().mul_(2 * LARGEST + 1).add_(right)


def _strongest(after: Tensor, before: Tensor) -> Tensor:
    """The largest change v of three channels, of +v and -v the first, as 2 v, or as -2 v - 1 where it falls: int16.

    From |4 v + 1|, which orders changes just so."""
    sizes = ((own - other).mul_(4).add_(1).abs_() for own, other in zip(after, before, strict=True))
    return reduce(torch.maximum, sizes).bitwise_right_shift_(1)


def _cell_of(length: int, device=None) -> Tensor:
    """The cell, 0..7, of each place on a side whose ends of cells are rounded, halves to even."""
    number = 1 << LEVELS
    ends = torch.tensor([round(cell * (length / number)) for cell in range(1, number)], device=device)
    return torch.bucketize(torch.arange(length, device=device), ends, right=True)


def _normal(histograms: Tensor) -> Tensor:
    total = histograms.sum(-1, keepdim=True)
    return histograms / torch.where(total > 0, total, 1)


def _likeness(ground: Tensor, part: Tensor) -> Tensor:
    """[B, 1, 16] and [B, N, 16] -> [B, N]."""
    overlap = torch.minimum(_normal(ground), _normal(part)).sum(2)
    whole, own = ground.mean(2), part.mean(2) * part.shape[1]
    ratio = torch.minimum(whole, own) / torch.maximum(whole, own).clamp(min=EMPTY)
    return torch.where((whole >= EMPTY) & (own >= EMPTY), overlap * ratio, 0)


def _median(values: Tensor) -> Tensor:
    """[B, N] -> [B]: the mean of the two middle values where N is even, as NumPy's."""
    return values.quantile(0.5, dim=1)
