"""Directions of whole-number vectors in equal steps, without a rounding that devices could do differently."""
import math
from functools import cache

import torch
from torch import Tensor

ONE = 1 << 14


def direction(x: Tensor, y: Tensor, steps: int) -> Tensor:
    """The direction of int32 vectors in `steps` (a multiple of 8) of a turn, the first centred at +x: int32.

    |x| and |y| below 2^16. Of the zero vector it is 0."""
    across, along = torch.minimum(x.abs(), y.abs()), torch.maximum(x.abs(), y.abs())
    step = sum((across * cosine > along * sine).int() for sine, cosine in octant_edges(steps))
    step = torch.where(y.abs() > x.abs(), steps // 4 - step, step)
    step = torch.where(x < 0, steps // 2 - step, step)
    return torch.where(y < 0, steps - step, step) % steps


def octant_edges(steps: int) -> list[tuple[int, int]]:
    """(sine, cosine) in 2^14ths of the edges between the directions of the first eighth of a turn."""
    angles = [(k + 0.5) * 2 * math.pi / steps for k in range(steps // 8)]
    return [(round(math.sin(angle) * ONE), round(math.cos(angle) * ONE)) for angle in angles]


@cache
def direction_table(reach: int, steps: int, period: int, least: int, device: torch.device) -> Tensor:
    """uint8 [2 * reach + 1, 2 * reach + 1]: `direction` modulo `period` of the vectors (x, y) from -reach to reach.

    `period` stands where x^2 + y^2 is below `least`. A look-up is many times faster than the comparisons."""
    axis = torch.arange(-reach, reach + 1, dtype=torch.int32, device=device)
    rows = []
    for x in axis.split(256):  # so that the comparisons' planes stay small
        x, y = x[:, None].expand(-1, len(axis)), axis.expand(len(x), -1)
        rows.append(torch.where(x * x + y * y >= least, direction(x, y, steps) % period, period).to(torch.uint8))
    return torch.cat(rows)


def look_up(table: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """table[x + reach, y + reach] for integer x and y of one shape; what reaches further counts as `reach`."""
    side = len(table)
    reach = side // 2
    place = x.clamp(-reach, reach).int().add_(reach).mul_(side).add_(y.clamp(-reach, reach)).add_(reach)
    return table.flatten().index_select(0, place.flatten()).view(x.shape)
