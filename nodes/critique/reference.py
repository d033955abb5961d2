"""Where a number stands among the numbers of a tradition of pictures."""
import json
import math
from bisect import bisect_left, bisect_right
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

KOLMOGOROV_95 = 1.358  # the 95 % point of the Kolmogorov distribution


class Reference(NamedTuple):
    """A tradition, reduced to what a critique needs.

    `quantiles` holds the 0, 1, ..., 100 % quantiles of every column; `shares` what each column weighs in the total, 1
    together; `totals` the quantiles of the weighted mean typicality of pictures that had no part in the quantiles they
    were held against.
    """
    name: str
    source: str
    count: int
    quantiles: dict[str, list[float]]
    shares: dict[str, float]
    totals: list[float]

    def percentile(self, column: str, value: float) -> float:
        """Share of the tradition below `value`, in %."""
        return percentile(value, self.quantiles[column])

    def rank(self, mean_typicality):
        """Share of the tradition whose mean typicality is lower, in %: even over the tradition. Floats or arrays."""
        return np.interp(mean_typicality, self.totals, np.arange(101.0))

    @property
    def band(self) -> float:
        """Half the width of the 95 % band of every percentile, in points (Kolmogorov-Smirnov)."""
        return 100 * KOLMOGOROV_95 / math.sqrt(self.count)


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
    share = 1 / torch.corrcoef(ranks.to(rows.dtype)).square().sum(1)
    return share / share.sum()


def fit(name: str, source: str, columns: list[str], rows: Tensor) -> Reference:
    """A reference from the measures [N, K] of N pictures, float64.

    The totals are cross-fitted: the even rows are held against the quantiles of the odd ones and the other way round.
    """
    shares = independent_shares(rows)
    halves = rows[0::2], rows[1::2]
    totals = torch.cat([typicalities(held, quantiles_of(fitted)) @ shares
                        for held, fitted in (halves, halves[::-1])])
    return Reference(name, source, len(rows), dict(zip(columns, quantiles_of(rows), strict=True)),
                     dict(zip(columns, shares.tolist(), strict=True)), quantiles_of(totals[:, None])[0])


@lru_cache(1)
def paintings() -> Reference:
    """The 1,629 Western paintings of the JenAesthetics set, as published with the Aesthetics-Toolbox."""
    text = Path(__file__).with_name("paintings.json").read_text(encoding="utf-8")
    return Reference(**json.loads(text))
