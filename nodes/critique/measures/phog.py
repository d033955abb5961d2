"""Gradients and how their orientations repeat from part to part: the pyramid of histograms of oriented gradients.

Redies, Amirshahi, Koch & Denzler 2012, doi 10.1007/978-3-642-33863-2_53; Braun, Amirshahi, Denzler & Redies 2013, doi
10.3389/fpsyg.2013.00808.
"""
import math

import torch
from torch import Tensor

BINS = 16
LEVELS = 3  # 2 x 2, 4 x 4 and 8 x 8 cells
ROWS_AT_ONCE = 256
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
    lab = own.plane(_eight_bit(own.lab))
    row, column = (_cell_of(length, lab.device) for length in (height, width))
    table = torch.zeros((1 << LEVELS) ** 2 * BINS, dtype=own.dtype, device=lab.device)
    for first in range(0, height, ROWS_AT_ONCE):
        rows = slice(first, min(first + ROWS_AT_ONCE, height))
        down, right = _gradient(lab, rows)
        length = torch.sqrt((down * down + right * right).to(own.dtype)) / 2
        turn = torch.atan2(down.to(own.dtype), right.to(own.dtype)) / (2 * math.pi) + 0.5
        bins = (turn * BINS + 0.5).long() % BINS
        cell = (row[rows, None] << LEVELS) + column
        table += torch.bincount((cell * BINS + bins).flatten(), length.flatten(), len(table))
    return table.view(1 << LEVELS, 1 << LEVELS, BINS)


def _eight_bit(lab: Tensor) -> Tensor:
    """L*a*b* [3, U] as Matlab stores it, int16: L* 0..255 rounded, a* and b* shifted by 128 and cut."""
    return torch.stack(((lab[0] / 100 * 255).round(), (lab[1] + 128).trunc(), (lab[2] + 128).trunc())).short()


def _gradient(lab: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """Twice the gradient of int16 [3, H, W], downwards and to the right, in some rows: int32 each.

    Central differences, one-sided at the rim; of the three channels the one that differs most, each way on its own.
    """
    last_row, last_column = lab.shape[1] - 1, lab.shape[2] - 1
    y = torch.arange(rows.start, rows.stop, device=lab.device)
    x = torch.arange(last_column + 1, device=lab.device)
    strip = lab[:, rows]
    below, above = (y + 1).clamp(max=last_row), (y - 1).clamp(min=0)
    down = (lab[:, below] - lab[:, above]) * (2 // (below - above)).short()[:, None]
    after, before = (x + 1).clamp(max=last_column), (x - 1).clamp(min=0)
    right = (strip[:, :, after] - strip[:, :, before]) * (2 // (after - before)).short()
    return _strongest(down), _strongest(right)


def _strongest(change: Tensor) -> Tensor:
    most, least = change.amax(0), change.amin(0)
    return torch.where(-least > most, least, most).int()


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
