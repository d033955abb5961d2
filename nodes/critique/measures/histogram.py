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
    """[B, ...] -> int64 0..255: each as a share of the largest of its picture, as the toolbox counts entropies."""
    largest = plane.flatten(1).amax(1).view(-1, *[1] * (plane.ndim - 1))
    return (plane / torch.where(largest > 0, largest, 1) * 255).round().long().clamp(min=0)


def between_classes(hist: Tensor) -> Tensor:
    """Variance between the two classes that each level would part: counts [B, 256] -> float64 [B, 256], in levels^2.

    Level k parts 0..k from k + 1..255; without pixels on one side the variance is 0 (Otsu 1979).
    """
    hist = hist.double()
    level = torch.arange(256, dtype=torch.float64, device=hist.device)
    below, total = hist.cumsum(1), hist.sum(1, keepdim=True)
    moment, whole = (hist * level).cumsum(1), (hist * level).sum(1, keepdim=True)
    return (whole * below - total * moment) ** 2 / (below * (total - below)).clamp(min=1) / total ** 2


def otsu(hist: Tensor) -> Tensor:
    """Otsu's threshold from counts of grey levels [B, 256] -> uint8 [B, 1, 1]: the last level of the darker class.

    The level that separates two classes with the largest variance between their means (Otsu 1979,
    doi 10.1109/TSMC.1979.4310076); a picture of one level returns that level.
    """
    hist = hist.cpu()
    between = between_classes(hist)
    best = torch.where(between.amax(1) > 0, between.argmax(1), hist.argmax(1))
    return best.to(torch.uint8)[:, None, None]
