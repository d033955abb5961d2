"""How evenly the shape is spread over the picture."""
import math

import torch
from torch import Tensor

from . import histogram
from .balance import weight

CELLS = 10


def foreground(picture) -> Tensor:
    """The heavy pixels, bool [B, H, W]: visual weight above Otsu's threshold."""
    mass = weight(picture, 127).to(torch.uint8)
    return mass > histogram.otsu(mass)


def cell_of(length: int, device=None) -> Tensor:
    """The cell, 0..9, of each place on a side: whole cells of `length // 10`, the last one takes what is left."""
    return (torch.arange(length, device=device) // (length // CELLS)).clamp(max=CELLS - 1)


def homogeneity(picture) -> Tensor:
    """Mean entropy of the foreground over ten columns and ten rows, % of its maximum: 0 (one spot) .. 100 (even).

    A picture of one grey has no foreground and is even: 100. Huebner & Fillinger 2016.
    """
    heavy = foreground(picture).to(picture.dtype)
    height, width = heavy.shape[1:]
    columns = heavy.new_zeros(len(heavy), CELLS).index_add_(1, cell_of(width, heavy.device), heavy.sum(1))
    rows = heavy.new_zeros(len(heavy), CELLS).index_add_(1, cell_of(height, heavy.device), heavy.sum(2))
    even = (histogram.entropy(columns) + histogram.entropy(rows)) / (2 * math.log2(CELLS)) * 100
    return torch.where(columns.sum(1) > 0, even, 100)
