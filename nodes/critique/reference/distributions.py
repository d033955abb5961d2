"""Where a number stands among the numbers of a tradition of pictures."""
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

KOLMOGOROV_95 = 1.358  # the 95 % point of the Kolmogorov distribution
FEW = 20  # with fewer pictures the band is wider than ±30 points
FEWEST_TOTALS = 4  # two halves of fewer pictures say nothing about each other

SCORED = ("RMS contrast", "Luminance entropy", "Edge density", "Color entropy", "mean S channel", "std a channel",
          "std b channel (Lab)", "std S channel", "Mirror symmetry", "DCM distance", "Balance", "Slope Redies",
          "Homogeneity", "1st-order EOE", "2nd-order EOE")
"""The columns that make the total: published, and the same at every size of a picture to about 1 percentile."""

RESIZED = ("Slope Redies",)
"""Those of them that a small copy moves: at 700 pixels, sharpened, by 42 percentiles, at 450 by 12, sharpened by 24;
all others by at most 3 (medians of 5 pictures, JPEG 85, an unsharp mask of 80 %)."""

OWN_SIDE = "Own longer side"
"""Among the measures of a picture: the pixels of its longer side before it was brought to 1024."""

SMALL, FULL = 768, 1024  # pixels, among pictures of FULL: up to SMALL RESIZED do not count, from FULL on in full

LEARNED = "learned"  # the column of a learned score, known to references that carry a scorer


class Reference(NamedTuple):
    """A tradition, a style or one person's work, reduced to what a critique needs.

    `quantiles` holds the 0, 1, ..., 100 % quantiles of every column; `shares` what each column of the total weighs, 1
    together; `totals` the quantiles of the weighted mean typicality of pictures that had no part in the quantiles they
    were held against, and `small_totals` the same without the columns of RESIZED. `estimated` are columns whose
    quantiles were not measured in the pictures but estimated from other columns of theirs. `scorer`
    gives the learned score of IMAGE [1, H, W, C], where one is connected.
    """
    name: str
    source: str
    count: int
    quantiles: dict[str, list[float]]
    shares: dict[str, float]
    totals: list[float]
    scorer: Callable[[Tensor], float] | None = None
    small_totals: list[float] = []
    estimated: tuple[str, ...] = ()

    def percentile(self, column: str, value: float) -> float:
        """Share of the tradition below `value`, in %."""
        return percentile(value, self.quantiles[column])

    def rank(self, mean_typicality):
        """Share of the tradition whose mean typicality is lower, in %: even over the tradition. Floats or arrays."""
        return np.interp(mean_typicality, self.totals, np.arange(101.0))

    @property
    def side(self) -> float:
        """The pixels of a longer side from which a picture is no smaller copy than most of these are; FULL at most."""
        sides = self.quantiles.get(OWN_SIDE)
        return min(float(FULL), sides[50]) if sides else float(FULL)

    def part_of(self, longer: float) -> float:
        """How much RESIZED count in a picture of `longer` pixels, 0..1: in full from the size of these pictures on, and
        not at all in a copy that is as much smaller as SMALL is than FULL."""
        return min(1.0, max(0.0, (longer / self.side * FULL - SMALL) / (FULL - SMALL)))

    @property
    def is_paintings(self) -> bool:
        return self.source == paintings().source

    @property
    def kind(self) -> str:
        """What it holds, such as "pictures of my style"."""
        return "paintings" if self.is_paintings else f"pictures of {self.name}"

    def share_from(self, column: str, value: float) -> float | None:
        """How many of its pictures reach a value of a column, 0..1; None where that was not measured."""
        return 1 - self.percentile(column, value) / 100 if column in self.quantiles else None

    def at_size(self, longer: float) -> "Reference":
        """As pictures of `longer` pixels are held against it: RESIZED count less in smaller ones, see `part_of`."""
        full = self.part_of(longer)
        if full == 1 or not self.small_totals:
            return self
        weights = {column: share * (full if column in RESIZED else 1) for column, share in self.shares.items()}
        whole = sum(weights.values())
        totals = [full * large + (1 - full) * small
                  for large, small in zip(self.totals, self.small_totals, strict=True)]
        return self._replace(shares={column: weight / whole for column, weight in weights.items()}, totals=totals)

    def unsteady(self, column: str) -> bool:
        """Whether a column says nothing of a picture of the size that this reference was made for, see `at_size`."""
        return column in RESIZED and column in self.shares and not self.shares[column]

    @property
    def band(self) -> float:
        """Half the width of the 95 % band of every percentile, in points (Kolmogorov-Smirnov)."""
        return min(100.0, 100 * KOLMOGOROV_95 / math.sqrt(self.count))

    @property
    def warning(self) -> str:
        """What a reader should know about a reference of few pictures; empty where there are enough."""
        if self.count >= FEW:
            return ""
        pictures = "1 picture" if self.count == 1 else f"{self.count} pictures"
        return (f"{self.name} holds {pictures}: every percentile is uncertain by ±{self.band:.0f} points. "
                f"Give at least {FEW}, better 100.")


def percentile(value: float, quantiles: list[float]) -> float:
    """Mid-rank of `value` in 101 ascending quantiles, 0..100: linear between them, the middle of equal ones."""
    low, high = bisect_left(quantiles, value), bisect_right(quantiles, value)
    if low < high:
        return (low + high - 1) / 2
    if low in (0, len(quantiles)):
        return 0.0 if low == 0 else 100.0
    below, above = quantiles[low - 1], quantiles[low]
    return low - 1 + (value - below) / (above - below)


def typicality(position: float) -> float:
    """100 at the median of the tradition (percentile 50), 0 at its ends."""
    return 100 - abs(2 * position - 100)


def target(own: Reference, column: str, tradition: Reference) -> tuple[float, float]:
    """Where the pictures of `own` lie in a tradition: (percentile of their median, half the spread of their middle
    two thirds), both in percentile points of `tradition`; the second is never under the band of `tradition`.
    """
    low, middle, high = (tradition.percentile(column, own.quantiles[column][at]) for at in (17, 50, 83))
    return middle, max((high - low) / 2, tradition.band)


def quantiles_of(rows: Tensor) -> list[list[float]]:
    """float64 [N, K] -> K lists of the 0, 1, ..., 100 % quantiles."""
    return torch.quantile(rows, torch.linspace(0, 1, 101, dtype=rows.dtype), dim=0).T.tolist()


def typicalities(rows: Tensor, quantiles: list[list[float]]) -> Tensor:
    """Typicality of every entry of [N, K] among the quantiles of its column."""
    return rows.new_tensor([[typicality(percentile(*entry)) for entry in zip(row, quantiles, strict=True)]
                            for row in rows.tolist()])


def independent_shares(rows: Tensor) -> Tensor:
    """Weights [K], 1 together, under which columns that say the same thing share one voice: 1 / sum of rho^2.

    `rho` are Spearman's rank correlations; m equal columns weigh together as much as one column on its own.
    """
    ordered = rows.T.contiguous().sort(1).values
    columns = rows.T.contiguous()
    ranks = torch.searchsorted(ordered, columns) + torch.searchsorted(ordered, columns, right=True)
    rho = torch.eye(len(columns), dtype=rows.dtype)
    if len(rows) > 1:  # a column that is the same in every picture correlates with nothing and keeps its own voice
        rho = torch.corrcoef(ranks.to(rows.dtype)).view(rho.shape).nan_to_num(0).fill_diagonal_(1)
    share = 1 / rho.square().sum(1)
    return share / share.sum()


def fit(name: str, source: str, columns: Sequence[str], rows: Tensor, scored: Sequence[str] = SCORED) -> Reference:
    """A reference from the measures [N, K] of N pictures, float64; the total is of the columns in `scored`.

    The totals are cross-fitted: the even rows are held against the quantiles of the odd ones and the other way round.
    With fewer than 4 pictures the total is the mean typicality itself.
    """
    held = rows[:, [columns.index(column) for column in scored]]
    shares = independent_shares(held)
    stays = shares * torch.tensor([column not in RESIZED for column in scored])
    small = _totals(held, stays / stays.sum()) if stays.any() else []
    return Reference(name, source, len(rows), dict(zip(columns, quantiles_of(rows), strict=True)),
                     dict(zip(scored, shares.tolist(), strict=True)), _totals(held, shares), small_totals=small)


def _totals(rows: Tensor, shares: Tensor) -> list[float]:
    if len(rows) < FEWEST_TOTALS:
        return [float(place) for place in range(101)]
    halves = rows[0::2], rows[1::2]
    totals = torch.cat([typicalities(held, quantiles_of(fitted)) @ shares
                        for held, fitted in (halves, halves[::-1])])
    return quantiles_of(totals[:, None])[0]


@lru_cache(1)
def paintings() -> Reference:
    """The 1,629 Western paintings of the JenAesthetics set, as published with the Aesthetics-Toolbox."""
    text = Path(__file__).with_name("paintings.json").read_text(encoding="utf-8")
    fields = json.loads(text)
    return Reference(**{**fields, "estimated": tuple(fields.get("estimated", ()))})
