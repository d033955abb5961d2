"""Order and disorder among neighbouring pixels: the plane of permutation entropy and statistical complexity.

Ribeiro et al. 2012, doi 10.1371/journal.pone.0040689; for paintings Sigaki, Perc & Ribeiro 2018, doi
10.1073/pnas.1800083115.
"""
import math

import torch
from torch import Tensor

from ....kernels.ordinal_patterns import ordinal_patterns

STATES = 24


def permutation_entropy(picture) -> Tensor:
    """Entropy of the order of the four values in each 2 x 2 window, 0 (always the same) .. 1 (every order alike).

    Of the mean of R, G and B; of equal values the first comes first.
    """
    return (_entropy(picture.once(patterns)) / math.log(STATES)).to(picture.dtype)


def statistical_complexity(picture) -> Tensor:
    """Permutation entropy times the distance of the orders from all being alike: 0 (order or noise) to about 0.42.

    The distance is Jensen and Shannon's divergence as a share of the largest possible (Lopez-Ruiz et al. 1995, doi
    10.1016/0375-9601(95)00867-5).
    """
    share = picture.once(patterns)
    divergence = (_entropy((share + 1 / STATES) / 2) - (_entropy(share) + math.log(STATES)) / 2)
    n = STATES
    largest = -((n + 1) / n * math.log(n + 1) + math.log(n) - 2 * math.log(2 * n)) / 2
    return (divergence / largest * _entropy(share) / math.log(STATES)).clamp(min=0).to(picture.dtype)


def patterns(picture) -> Tensor:
    """Share of each order, float64 [B, 24]."""
    total = picture.rgb.sum(1, dtype=torch.int16)
    counts = ordinal_patterns(total).double()
    return counts / counts.sum(1, keepdim=True)


def _entropy(share: Tensor) -> Tensor:
    return -torch.special.xlogy(share, share).sum(1)
