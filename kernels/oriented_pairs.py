"""Statistics of oriented points in a plane."""
import math
from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

PAIRS_AT_ONCE = 1 << 18  # fewer, and what is done once a block tells; more, and nothing stays in the caches
SPREAD = 64


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

    The cell of a pair depends on its displacement alone. So the pairs of two orientations are counted by the direction
    towards j alone, at a place in the table that turns with the orientation of i: half the pairs and no trigonometry
    per pair, yet the same sum as counting pair by pair.
    """
    height, width = shape
    directions, stride = 2 * orientations, 2 * width - 1
    cells = _cells(height, width, near, far, directions, weight.device)
    groups = _groups(y if height > width else x, (y * stride + x).int(), orientation, weight, orientations)
    centre, rooms, length = (height - 1) * stride + width - 1, _Rooms(weight, cells), (far - near) * 2 * directions
    tables = weight.new_zeros(orientations, length + SPREAD + directions)
    for a, first in enumerate(groups):
        for b, second in enumerate(groups[a:], a):
            _count(tables[b - a, 2 * a:], first._replace(place=first.place - centre), second, cells, far, rooms)
    found = tables[:, :length].view(orientations, far - near, 2, directions).sum(2)
    counts = found.permute(1, 2, 0).contiguous()
    for apart in range(1, orientations):  # the same pairs seen from the other end: half a turn further
        counts[:, :, -apart] += found[apart].roll(orientations + 2 * apart, 1)
    return counts


@lru_cache(maxsize=4)
def _cells(height: int, width: int, near: int, far: int, directions: int, device: torch.device) -> Tensor:
    """`displacement_cells` in rows of twice the directions, so that a turn needs no remainder, and in few bytes. Kept,
    because pictures of one shape follow one another. Must not be written into.

    What is too near or too far goes to SPREAD places in turn: adding to one place again and again waits each time."""
    with torch.inference_mode(False):
        cells = displacement_cells(height, width, near, far, directions)
        outside = (far - near) * 2 * directions + torch.arange(len(cells)) % SPREAD
        wide = torch.where(cells < (far - near) * directions, cells + cells // directions * directions, outside)
        return wide.to(device, torch.int16 if outside.max() < 1 << 15 else torch.int32)


class _Group(NamedTuple):
    """The points of one orientation in the order of `along`, their places along the longer side of the plane."""
    along: list[int]
    place: Tensor
    weight: Tensor


class _Rooms:
    """Memory that is used again and again: new memory for each block costs as much as the work in it."""

    def __init__(self, weight: Tensor, cells: Tensor):
        self.device, self.kinds, self.size = weight.device, (torch.int32, cells.dtype, weight.dtype), 0

    def of(self, rows: int, columns: int) -> tuple[Tensor, ...]:
        """int32, the type of the cells and float [rows * columns] each."""
        number = rows * columns
        if number > self.size:
            self.size = number
            self.held = [torch.empty(number, dtype=kind, device=self.device) for kind in self.kinds]
        return tuple(room[:number] for room in self.held)


def _groups(along: Tensor, place: Tensor, orientation: Tensor, weight: Tensor, orientations: int) -> list[_Group]:
    order = along.argsort(stable=True)
    members = [order[orientation[order] == o] for o in range(orientations)]
    return [_Group(along[own].tolist(), place[own], weight[own]) for own in members]


def _count(table: Tensor, first: _Group, second: _Group, cells: Tensor, far: int, rooms: _Rooms) -> None:
    """Adds the pairs of two groups to a table of cells, without most of those that are too far apart."""
    rows = PAIRS_AT_ONCE // max(1, len(second.along)) + 1
    for start in range(0, len(first.along), rows):
        own = slice(start, min(start + rows, len(first.along)))
        low = bisect_left(second.along, first.along[own.start] - far)
        high = bisect_right(second.along, first.along[own.stop - 1] + far)
        if low < high:
            _count_block(table, first, own, second, slice(low, high), cells, rooms)


def _count_block(table, first, own, second, other, cells, rooms) -> None:
    shape = own.stop - own.start, other.stop - other.start
    displacement, cell, weight = rooms.of(*shape)
    torch.sub(second.place[other], first.place[own, None], out=displacement.view(shape))
    torch.index_select(cells, 0, displacement, out=cell)
    torch.mul(first.weight[own, None], second.weight[other], out=weight.view(shape))
    table += torch.bincount(cell, weight, len(table))   # scatter_add_ takes int64 alone, which is four times as wide
