"""What the neighbours of each pixel say: order, co-occurrence, local histograms and mirrored differences.

Everything here is a whole number, so the result does not depend on the device nor on the order of adding.
"""
from functools import cache
from itertools import permutations

import torch
from torch import Tensor

from .statistics_bins import count

OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""(down, right) of the second pixel of a co-occurring pair: along rows, columns and both diagonals."""


def ordinal_patterns(plane: Tensor) -> Tensor:
    """How often the four values of each 2 x 2 window stand in each of their 24 orders.

    Any number type [B, H, W], H and W at least 2 -> int64 [B, 24], in the lexicographic order of the permutations
    that sort a window read row by row. Of equal values the first comes first (Bandt & Pompe 2002,
    doi 10.1103/PhysRevLett.88.174102, in two dimensions: Ribeiro et al. 2012, doi 10.1371/journal.pone.0040689;
    the states and ties are those of ordpy)."""
    a, b, c, d = plane[:, :-1, :-1], plane[:, :-1, 1:], plane[:, 1:, :-1], plane[:, 1:, 1:]
    code = _less(b, a).add_(_less(c, a)).add_(_less(d, a)).mul_(3)
    code.add_(_less(c, b)).add_(_less(d, b)).mul_(2).add_(_less(d, c))
    return in_order(count(code, 24))


def in_order(counts: Tensor) -> Tensor:
    """Counts [B, 24] by the Lehmer code of a window's ranks -> by the permutation that sorts the window."""
    return counts.index_select(1, _lehmer_codes(counts.device))


def cooccurrence(levels: Tensor, steps: int = 16) -> Tensor:
    """How often level i lies beside level j: uint8 [B, H, W] below `steps` (at most 16) -> int64 [B, 4, steps, steps].

    One table for each of OFFSETS, at distance 1 and not symmetrised (Haralick 1973, doi 10.1109/TSMC.1973.4309314)."""
    height, width = levels.shape[1:]
    first = levels * steps
    tables = [count(first[:, :height - y, max(0, -x):width - max(0, x)]
                    + levels[:, y:, max(0, x):width + min(0, x)], steps * steps) for y, x in OFFSETS]
    return torch.stack(tables, 1).view(-1, len(OFFSETS), steps, steps)


def local_counts(levels: Tensor, side: int = 16, steps: int = 16) -> Tensor:
    """Histograms of the tiles of `side` x `side` pixels: uint8 [B, H, W] -> int64 [B, rows, columns, steps].

    The last row and column of tiles hold what is left. Their entropies are the local entropy of the picture."""
    height, width = levels.shape[1:]
    rows, columns = -(-height // side), -(-width // side)
    y = torch.arange(height, dtype=torch.int32, device=levels.device)[:, None] // side * columns
    x = torch.arange(width, dtype=torch.int32, device=levels.device) // side
    tiles = (y + x) * steps
    counts = [torch.bincount((tiles + one).flatten(), minlength=rows * columns * steps) for one in levels]
    return torch.stack(counts).view(-1, rows, columns, steps)


def mirrored_difference(plane: Tensor) -> Tensor:
    """Sum of |pixel - its mirror image|, left to right and top to bottom: uint8 [B, H, W] -> int64 [B, 2]."""
    return torch.stack([_difference(plane, plane.flip(dim)) for dim in (2, 1)], 1)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return (torch.maximum(a, b) - torch.minimum(a, b)).sum((1, 2), dtype=torch.int64)


def _less(a: Tensor, b: Tensor) -> Tensor:
    return (a < b).view(torch.uint8)


@cache
def _lehmer_codes(device: torch.device) -> Tensor:
    return torch.tensor([_lehmer_code(order) for order in permutations(range(4))], device=device)


def _lehmer_code(order: tuple[int, ...]) -> int:
    """The code that the comparisons above give to the windows which `order` sorts."""
    rank = [order.index(place) for place in range(4)]
    later = [sum(other < rank[place] for other in rank[place + 1:]) for place in range(3)]
    return later[0] * 6 + later[1] * 2 + later[2]

