"""What the fast forms must equal: float64, from the definitions, slow and plain."""
from collections.abc import Sequence

import torch
from torch import Tensor


def merged(weight: Tensor, ups: Sequence[Tensor], downs: Sequence[Tensor], strengths: Sequence[float]) -> Tensor:
    """W + sum_i s_i B_i A_i in float64: weight [out, ...], B_i [out, rank], A_i [rank, ...]."""
    total = weight.double()
    for up, down, strength in zip(ups, downs, strengths, strict=True):
        total = total + strength * (up.double().flatten(1) @ down.double().flatten(1)).view(weight.shape)
    return total


def finite_values(dtype: torch.dtype) -> Tensor:
    """Every finite number of an 8- or 16-bit format, ascending, float64; zero once."""
    codes = torch.arange(1 << 8 * dtype.itemsize, dtype=torch.int64)
    words = codes.to(torch.uint8) if dtype.itemsize == 1 else codes.to(torch.uint16)
    values = words.view(dtype).double()
    return values[values.isfinite()].unique()


def nearest(x: Tensor, dtype: torch.dtype) -> Tensor:
    """float64 -> the nearest number of the format, ties to the even code, saturating; looked up among all of them."""
    values = finite_values(dtype)
    above = torch.searchsorted(values, x.clamp(values[0], values[-1]).contiguous()).clamp(1, len(values) - 1)
    low, high = values[above - 1], values[above]
    x = x.clamp(values[0], values[-1])
    tie_up = _code(high, dtype) % 2 == 0
    up = (high - x < x - low) | ((high - x == x - low) & tie_up)
    return torch.where(up, high, low).to(dtype)


def neighbours(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The numbers of the format below and above float64 x, and the share of the way up: what a fair die would use."""
    values = finite_values(dtype)
    x = x.clamp(values[0], values[-1]).contiguous()
    above = torch.searchsorted(values, x).clamp(1, len(values) - 1)
    low, high = values[above - 1], values[above]
    return low, high, (x - low) / (high - low)


def _code(values: Tensor, dtype: torch.dtype) -> Tensor:
    words = values.to(dtype).view(torch.uint8 if dtype.itemsize == 1 else torch.int16)
    return words.long()
