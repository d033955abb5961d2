"""The format of the picture, and how evenly and how compactly its shape lies in it."""
import math

import torch
from torch import Tensor

from . import balance, histogram

CELLS = 10


def sides(picture) -> Tensor:
    """Width plus height in pixels, as the toolbox reports the size of a picture."""
    return picture.rgb.new_full((len(picture.rgb),), sum(picture.size), dtype=picture.dtype)


def aspect_ratio(picture) -> Tensor:
    """Width / height; 1.618 is the golden section lying, 0.618 standing."""
    width, height = picture.size
    return picture.rgb.new_full((len(picture.rgb),), width / height, dtype=picture.dtype)


def foreground(picture) -> Tensor:
    """The heavy pixels, bool [B, H, W]: visual weight above Otsu's threshold."""
    counts, turned = picture.grey_counts, balance.inverted(picture, 127)[:, None]
    threshold = histogram.otsu(torch.where(turned, counts.flip(1), counts)).to(picture.grey.device)
    return balance.mass_of(picture, 127) > threshold


def cell_of(length: int, device=None) -> Tensor:
    """The cell, 0..9, of each place on a side: whole cells of `length // 10`, the last one takes what is left."""
    return (torch.arange(length, device=device) // (length // CELLS)).clamp(max=CELLS - 1)


def homogeneity(picture) -> Tensor:
    """Mean entropy of the foreground over ten columns and ten rows, % of its maximum: 0 (one spot) .. 100 (even).

    A picture of one grey has no foreground and is even: 100. Huebner & Fillinger 2016.
    """
    by_column, by_row = foreground_counts(picture)
    even = (histogram.entropy(by_column) + histogram.entropy(by_row)) / (2 * math.log2(CELLS)) * 100
    return torch.where(by_column.sum(1) > 0, even, 100)


def foreground_counts(picture) -> tuple[Tensor, Tensor]:
    """Foreground pixels in the ten columns and in the ten rows of cells, [B, 10] each."""
    heavy = foreground(picture)
    sums = (heavy.sum(dim).to(picture.dtype) for dim in (1, 2))
    return tuple(s.new_zeros(len(s), CELLS).index_add_(1, cell_of(s.shape[1], s.device), s) for s in sums)


def compactness(picture) -> Tensor:
    """How compact the dark shape is: 4 pi area / perimeter^2 of Otsu's darker class, 1 for a disc, near 0 for lace.

    Cox 1927, J. Paleontology 1:179. The perimeter is that of scikit-image's `perimeter` (Benkrid & Crookes 2000); a
    shape without one (nothing dark) has compactness 0.
    """
    dark = picture.grey <= histogram.otsu(picture.grey_counts).to(picture.grey.device)
    length = torch.stack([perimeter(one) for one in dark])
    return torch.where(length > 0, 4 * math.pi * dark.sum((1, 2)) / length.clamp(min=1) ** 2, 0).to(picture.dtype)


def perimeter(shape: Tensor) -> Tensor:
    """Length of the outline of bool [H, W], in pixels: its border pixels by how they join their neighbours.

    A border pixel has one of its four neighbours outside. It counts 1, sqrt(2) or (1 + sqrt(2)) / 2 where the line
    through it is straight, diagonal or bent, and 0 where it only fills a corner.
    """
    full = torch.nn.functional.pad(shape, (1, 1, 1, 1))
    border = shape & ~(full[:-2, 1:-1] & full[2:, 1:-1] & full[1:-1, :-2] & full[1:-1, 2:])
    around = torch.nn.functional.pad(border.to(torch.uint8), (1, 1, 1, 1))
    straight = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
    slanted = around[:-2, :-2] + around[:-2, 2:] + around[2:, :-2] + around[2:, 2:]
    code = border * (1 + 2 * straight + 10 * slanted)
    worth = torch.zeros(64, dtype=torch.float64)
    worth[[5, 7, 15, 17, 25, 27]] = 1
    worth[[21, 33]] = math.sqrt(2)
    worth[[13, 23]] = (1 + math.sqrt(2)) / 2
    return torch.bincount(code.flatten(), minlength=64).double().cpu() @ worth
