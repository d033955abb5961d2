"""Rounding float32 into the formats weights are stored in: to the nearest, and stochastically without bias."""
from typing import NamedTuple

import torch
from torch import Tensor


class Format(NamedTuple):
    """Mantissa bits, exponent of the smallest normal number, and the largest finite number."""
    mantissa: int
    smallest: int
    largest: float


FORMATS = {
    torch.float16: Format(10, -14, 65504.0),
    torch.bfloat16: Format(7, -126, torch.finfo(torch.bfloat16).max),
    torch.float8_e4m3fn: Format(3, -6, 448.0),
    torch.float8_e5m2: Format(2, -14, 57344.0),
}


def rounded(x: Tensor, dtype: torch.dtype, seed: int | None = None, row: int = 0) -> Tensor:
    """float32 [N, K] in `dtype`: to the nearest, ties to even, or stochastically with `seed`.

    8-bit formats saturate, and so does every stochastic rounding but bfloat16's; NaN stays NaN. `row` is the number
    of the first row, so that a plane rounded in pieces comes out as in one. float32 stays as it is."""
    if dtype == torch.float32:
        return x
    if seed is not None:
        return stochastic(x, dtype, random_bits(seed, row, *x.shape, device=x.device))
    largest = FORMATS[dtype].largest
    return (x.clamp(-largest, largest) if dtype.itemsize == 1 else x).to(dtype)


def stochastic(x: Tensor, dtype: torch.dtype, bits: Tensor) -> Tensor:
    """Rounds float32 up or down with the probability of its nearness; `bits`: int32, uniform in 0..65535.

    Adds the noise below the last bit that stays and cuts off the rest: for 8-bit and bfloat16 formats the probability
    is right to 2^-16 (Gupta et al. 2015, arXiv:1502.02551)."""
    mantissa, smallest, largest = FORMATS[dtype]
    dropped = 23 - mantissa
    size = x.abs() if dtype == torch.bfloat16 else x.abs().clamp(max=largest)
    # Adding the smallest normal number gives subnormal numbers, too, a bit for each step of the format.
    shift = torch.where(size < 2.0 ** smallest, 2.0 ** smallest, 0.0) if smallest > -126 else 0.0
    noise = (bits << (dropped - 16)) + (1 << (dropped - 16) >> 1) if dropped >= 16 else bits >> (16 - dropped)
    raised = ((size + shift).view(torch.int32) + noise) & (-1 << dropped)
    value = raised.view(torch.float32) - shift
    if dtype != torch.bfloat16:
        value = value.clamp(max=largest)
    return torch.where(x.isnan(), x, torch.copysign(value, x)).to(dtype)


def random_bits(seed: int, row: int, rows: int, columns: int, device=None) -> Tensor:
    """16 random bits for each place of a plane, from place and seed alone: int32 [rows, columns], 0..65535.

    Two neighbours of a row share one 32-bit hash, the even column its lower half."""
    pairs = (columns + 1) // 2
    y = torch.arange(row, row + rows, dtype=torch.int64, device=device)[:, None]
    place = y * pairs + torch.arange(pairs, dtype=torch.int64, device=device)
    hashed = hash32(_wrapped(place) ^ _signed(seed & 0xFFFFFFFF))
    halves = torch.stack((hashed & 0xFFFF, (hashed >> 16) & 0xFFFF), -1)
    return halves.view(rows, 2 * pairs)[:, :columns]


def hash32(x: Tensor) -> Tensor:
    """Mixes int32 as unsigned words: "lowbias32" of Wellons' hash prospector, every output bit flips with half of
    the input bits."""
    x = (x ^ (x >> 16 & 0xFFFF)) * 0x7FEB352D
    x = (x ^ (x >> 15 & 0x1FFFF)) * _signed(0x846CA68B)
    return x ^ (x >> 16 & 0xFFFF)


def _wrapped(x: Tensor) -> Tensor:
    """int64 -> its lower 32 bits as int32."""
    return ((x & 0xFFFFFFFF) ^ 0x80000000).sub(0x80000000).to(torch.int32)


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word
