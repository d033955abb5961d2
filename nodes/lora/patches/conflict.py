"""How much the changes of two LoRAs fight on the same weights: their cosine, and how many numbers they pull apart.

The numbers of a large weight are looked at in evenly spaced rows, which is enough for a share.
"""
import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

ROWS = 512      # of a weight at most


class Conflict(NamedTuple):
    """Of two LoRAs on the same weights. Sums add up over weights, and so do conflicts."""
    product: float = 0.0
    first: float = 0.0
    second: float = 0.0
    """Squared norms of the two changes."""
    apart: int = 0
    both: int = 0
    """Numbers that both change, and those of them in which their signs differ."""

    @property
    def cosine(self) -> float:
        """1: the same direction, -1: opposite, 0: unrelated, or one of them changes nothing."""
        size = math.sqrt(self.first * self.second)
        return max(-1.0, min(1.0, self.product / size)) if size else 0.0

    @property
    def disagreement(self) -> float:
        """Share of the numbers that both change in which their signs differ: 0.5 for unrelated changes."""
        return self.apart / self.both if self.both else 0.0

    def __add__(self, other: "Conflict") -> "Conflict":
        return Conflict(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def conflict(first: Tensor, second: Tensor) -> Conflict:
    """Of two changes of one shape."""
    first, second = first.flatten().double(), second.flatten().double()
    both = (first != 0) & (second != 0)
    apart = both & (first.sign() != second.sign())
    return Conflict(float(first @ second), float(first @ first), float(second @ second), int(apart.sum()),
                    int(both.sum()))


def pairwise(weights: Iterable[tuple[str, Sequence[Tensor | None]]]) -> dict[str, dict[tuple[int, int], Conflict]]:
    """The conflicts of every two LoRAs in every block. weights: (block, the change of each LoRA or None)."""
    found = {}
    for block, changes in weights:
        own = found.setdefault(block, {})
        for one, other in combinations(range(len(changes)), 2):
            if changes[one] is not None and changes[other] is not None:
                own[one, other] = own.get((one, other), Conflict()) + conflict(changes[one], changes[other])
    return {block: own for block, own in found.items() if own}


def some_rows(size: int) -> slice:
    """Which of so many rows are looked at."""
    return slice(0, None, max(1, math.ceil(size / ROWS)))


def sampled_product(up: Tensor, down: Tensor, scale: float) -> Tensor:
    """Some rows of scale * up @ down, up [out, rank], down [rank, ...]."""
    return (up[some_rows(len(up))].to("cpu", torch.float32) @ down.flatten(1).to("cpu", torch.float32)) * scale


def sampled(change: Tensor) -> Tensor:
    """Some rows of a change as a matrix."""
    rows = change.reshape(len(change), -1) if change.ndim > 1 else change[:, None]
    return rows[some_rows(len(rows))].to("cpu", torch.float32)
