"""How rich and how varied the colour is."""
from torch import Tensor

from . import histogram


def color_entropy(picture) -> Tensor:
    """Shannon entropy of the hue, 256 levels: bits, 0..8 (Bartho et al. 2023, arXiv 2307.00984)."""
    return histogram.entropy(histogram.counts(histogram.levels(picture.hsv[:, 0]).flatten(1), 256).to(picture.dtype))


def mean_saturation(picture) -> Tensor:
    """Arithmetic mean of HSV saturation, 0..1."""
    return picture.hsv[:, 1].mean((1, 2))


def std_saturation(picture) -> Tensor:
    """Standard deviation of HSV saturation, 0..0.5."""
    return picture.hsv[:, 1].std((1, 2), correction=0)


def std_a(picture) -> Tensor:
    """Standard deviation of CIE a* (green to red), 0 to about 100."""
    return picture.lab[:, 1].std((1, 2), correction=0)


def std_b(picture) -> Tensor:
    """Standard deviation of CIE b* (blue to yellow), 0 to about 100."""
    return picture.lab[:, 2].std((1, 2), correction=0)
