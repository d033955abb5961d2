"""Histograms, their entropy and Otsu's threshold: the pieces that several measures share."""
import torch
from torch import Tensor


def counts(bins: Tensor, length: int, weight: Tensor | None = None) -> Tensor:
    """Counts (or sums of `weight`) of int64 bins [B, N] -> [B, length]."""
    weight = torch.ones_like(bins) if weight is None else weight
    return weight.new_zeros(len(bins), length).scatter_add_(1, bins, weight)


def surprise(mass: Tensor) -> Tensor:
    """-log2 of the share of each bin of non-negative [..., K], in bits; 0 where a bin is empty."""
    share = mass / mass.sum(-1, keepdim=True).clamp(min=torch.finfo(mass.dtype).tiny)
    return -torch.log2(torch.where(share > 0, share, 1))


def entropy(mass: Tensor) -> Tensor:
    """Shannon entropy in bits of non-negative [..., K] -> [...], 0..log2(K); nothing at all has entropy 0."""
    share = mass / mass.sum(-1, keepdim=True).clamp(min=torch.finfo(mass.dtype).tiny)
    return (share * surprise(mass)).sum(-1)


def levels(plane: Tensor) -> Tensor:
    """[B, H, W] -> int64 0..255: the plane as a share of its largest value, as the toolbox counts entropies."""
    largest = plane.amax((1, 2), keepdim=True)
    return (plane / torch.where(largest > 0, largest, 1) * 255).round().long().clamp(min=0)


def otsu(grey: Tensor) -> Tensor:
    """Otsu's threshold of uint8 [B, H, W] -> uint8 [B, 1, 1]: the last level of the darker class.

    The level that separates two classes with the largest variance between their means (Otsu 1979); a plane of one
    level returns that level.
    """
    hist = counts(grey.flatten(1).long(), 256).cpu().double()
    level = torch.arange(256, dtype=torch.float64)
    below, total = hist.cumsum(1), hist.sum(1, keepdim=True)
    moment, whole = (hist * level).cumsum(1), (hist * level).sum(1, keepdim=True)
    between = (whole * below - total * moment) ** 2 / (below * (total - below)).clamp(min=1)
    best = torch.where(between.amax(1) > 0, between.argmax(1), hist.argmax(1))
    return best.to(grey)[:, None, None]
