"""Fractal dimensions by counting boxes."""
import math

import torch
from torch import Tensor

from ..picture.resample import bicubic
from .spectrum import fit

SMALLEST = 6  # the published count stops at grids of 6 x 6
BOTH = 0x0101   # two true pixels as one int16


def dimension_2d(picture) -> Tensor:
    """Fractal dimension of the outline between dark and light, about 1 (a line) .. 2 (fills the picture).

    The picture is made square and cut at its mean grey; blocks of 2 x 2 that are neither all dark nor all light are
    counted again and again. A picture of one grey has no outline: 0. Spehar et al. 2003, doi
    10.1016/S0097-8493(03)00154-7.
    """
    side = min(picture.grey.shape[1:])
    square = bicubic(picture.grey[:, None], side, side)[:, 0]
    total = square.sum((1, 2), keepdim=True)
    mixed = square <= ((total - 1) // square[0].numel()).clamp(max=255).to(torch.uint8)  # less than the mean
    mixed &= total > 0
    sizes, counts = [], []
    while mixed.shape[1] > SMALLEST:
        sizes.append(mixed.shape[1])
        counts.append(mixed.sum((1, 2)))
        mixed = _mixed_blocks(mixed)
    found = torch.stack(counts[1:], 1).double().cpu()
    return torch.stack([_slope(sizes[1:], row) for row in found]).to(picture.grey.device, picture.dtype)


def _mixed_blocks(mixed: Tensor) -> Tensor:
    """Which blocks of 2 x 2 are neither all true nor all false: bool [B, N, N] -> [B, N // 2, N // 2]."""
    half = mixed.shape[1] // 2
    pairs = mixed[:, :, :half * 2].contiguous().view(torch.int16)     # two pixels of a row in one number
    upper, lower = pairs[:, :half * 2:2], pairs[:, 1:half * 2:2]
    return ((upper | lower) != 0) & ((upper & lower) != BOTH)


def dimension_3d(picture) -> Tensor:
    """Fractal dimension of grey as a landscape, 2 (smooth) .. 3 (rough), by differential box counting.

    Largest centred square of 2^n pixels; boxes of several sizes, neighbours along a row sharing a column. A picture
    with room for one size of box only (below 32 pixels) gives 2. Mather 2018, doi 10.1177/0301006618769915 (after
    Sarkar & Chaudhuri 1994).
    """
    land = _centre(picture.grey)
    side = land.shape[1]
    sizes = box_sizes(side)
    if len(sizes) < 2:
        return land.new_full((len(land),), 2, dtype=picture.dtype)
    counts = torch.stack([_boxes(land, size) for size in sizes], 1).double()
    x = torch.tensor([1 / size for size in sizes], dtype=torch.float64, device=land.device).log()
    return fit(x, counts.log())[0].to(picture.dtype)


def box_sizes(side: int) -> list[int]:
    """The sizes of box that the published count uses in a square of `side` pixels."""
    smallest = largest = 2 ** math.ceil(math.log2(side ** (1 / 3)))
    while math.ceil(side / largest + 1) <= math.ceil(side / (largest - 1)):
        largest += 1
    return list(range(smallest, largest + 1, 2))


def _boxes(land: Tensor, size: int) -> Tensor:
    """How many boxes of `size` pixels and size / side grey levels cover uint8 [B, N, N], [B]."""
    side = land.shape[1]
    rows, columns = len(range(1, side - size, size)), len(range(0, side - size, size - 1))  # as far as published
    bands = land[:, :rows * size].reshape(len(land), rows, size, side)
    high, low = (band.unfold(2, size, size - 1)[:, :, :columns] for band in (bands.amax(2), bands.amin(2)))
    height = (high.amax(3).int() - low.amin(3)) * side
    return (-(-height // size)).clamp(min=1).sum((1, 2))


def _centre(plane: Tensor) -> Tensor:
    """The largest centred square of 2^n pixels, halves rounded to even as published."""
    height, width = plane.shape[1:]
    side = 1 << min(height, width).bit_length() - 1
    top, left = round((height - side) / 2), round((width - side) / 2)
    return plane[:, top:top + side, left:left + side]


def _slope(sizes: list[int], counts: Tensor) -> Tensor:
    x, there = torch.tensor(sizes, dtype=torch.float64), counts > 0
    return fit(x[there].log2(), counts[there].log2()[None])[0][0] if there.sum() > 1 else counts.new_zeros(())
