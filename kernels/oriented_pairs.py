"""Statistics of oriented points in a plane."""
import math

import torch
from torch import Tensor

PAIRS_AT_ONCE = 1 << 18  # 2 MB of float64 weights: the pass stays in the processor's cache


def displacement_cells(height: int, width: int, near: int, far: int, directions: int) -> Tensor:
    """The (distance, direction) cell of every displacement between two points of a `height` x `width` plane.

    Returns int64 [(2 * height - 1) * (2 * width - 1)], row by row from (1 - height, 1 - width) on:
    (distance - near) * directions + direction for rounded distances near <= distance < far, and one more cell,
    (far - near) * directions, for all the others. Direction is atan2(dy, dx) rounded to `directions` steps of a turn.
    """
    dy = torch.arange(1 - height, height, dtype=torch.float64)[:, None]
    dx = torch.arange(1 - width, width, dtype=torch.float64)[None]
    distance = torch.hypot(dy, dx).round().long()
    direction = (torch.atan2(dy, dx) / (2 * math.pi) * directions).round().long() % directions
    inside = (distance >= near) & (distance < far)
    return torch.where(inside, (distance - near) * directions + direction, (far - near) * directions).flatten()


def oriented_pairs(y: Tensor, x: Tensor, orientation: Tensor, weight: Tensor, shape: tuple[int, int],
                   near: int = 20, far: int = 240, orientations: int = 24) -> Tensor:
    """Weighted co-occurrence of orientations over all ordered pairs of points, seen from the first point of a pair.

    `y`, `x` and `orientation` are int64 [N] (orientation in `orientations` steps of a turn), `weight` is float [N],
    `shape` the (height, width) of the plane. Returns float [far - near, 2 * orientations, orientations]: the sum of
    weight_i * weight_j over the pairs by rounded distance, by direction towards j plus orientation of i (in half
    steps), and by orientation of j minus orientation of i (Geisler et al. 2001, doi 10.1016/S0042-6989(00)00277-7).

    The cell of a pair depends on its displacement alone. So the pairs of two orientations are counted into one small
    table, which both orientations then turn into place: half the pairs and no trigonometry per pair, yet the same sum
    as counting pair by pair.
    """
    height, width = shape
    directions, stride = 2 * orientations, 2 * width - 1
    cells = displacement_cells(height, width, near, far, directions).to(weight.device, torch.int32)
    place, centre = (y * stride + x).int(), (height - 1) * stride + width - 1
    groups = [(orientation == o).nonzero()[:, 0] for o in range(orientations)]
    counts = weight.new_zeros(far - near, directions, orientations)
    for a, first in enumerate(groups):
        for b, second in enumerate(groups[a:], a):
            table = weight.new_zeros((far - near) * directions + 1)
            _count(table, place[first] - centre, weight[first], place[second], weight[second], cells)
            table = table[:-1].view(far - near, directions)
            counts[:, :, b - a] += table.roll(2 * a, 1)
            if a != b:  # the same pairs seen from the other end: half a turn further
                counts[:, :, a - b] += table.roll(2 * b + orientations, 1)
    return counts


def _count(table, place_i, weight_i, place_j, weight_j, cells):
    rows = PAIRS_AT_ONCE // max(1, len(place_j)) + 1
    for place, weight in zip(place_i.split(rows), weight_i.split(rows), strict=True):
        cell = cells.index_select(0, (place_j - place[:, None]).flatten())
        table += torch.bincount(cell, (weight[:, None] * weight_j).flatten(), minlength=len(table))
