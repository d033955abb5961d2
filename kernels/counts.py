"""Histograms as whole numbers: the same on every device, in every order of adding."""
import torch
from torch import Tensor


def count(codes: Tensor, length: int) -> Tensor:
    """How often each code occurs: uint8 or int64 [B, ...], 0 <= code < length -> int64 [B, length].

    uint8 codes count twice as fast as int64 ones."""
    return torch.stack([torch.bincount(one, minlength=length) for one in codes.flatten(1)])


def quantise(plane: Tensor, low: float, high: float, bins: int) -> Tensor:
    """float [...] -> its bin among `bins` equal ones of low..high, uint8 (int64 for more than 256 bins).

    A value on an edge belongs to the upper bin, what lies outside to the nearest; NaN counts as `low`."""
    scaled = ((plane - low) * (bins / (high - low))).nan_to_num_(0.0).clamp_(0, bins - 1)
    return scaled.to(torch.uint8 if bins <= 256 else torch.int64)


def histogram(plane: Tensor, low: float, high: float, bins: int) -> Tensor:
    """Histogram of float [B, ...] over `bins` equal bins of low..high -> int64 [B, bins]."""
    return count(quantise(plane, low, high, bins), bins)


def entropy(counts: Tensor) -> Tensor:
    """Shannon entropy in bits of whole-number counts [..., K] -> float64 [...]; of nothing at all it is 0.

    H = log2 N - (1 / N) sum n log2 n, which needs no division a bin."""
    n = counts.double()
    total = n.sum(-1)
    surprise = torch.special.xlogy(n, n).sum(-1) / total.clamp(min=1)
    return (torch.special.xlogy(torch.ones_like(total), total.clamp(min=1)) - surprise).clamp(min=0) / _LN2


_LN2 = 0.6931471805599453
