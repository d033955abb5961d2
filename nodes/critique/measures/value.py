"""Value in the painter's sense: the scale from dark to light."""
from torch import Tensor

from . import histogram


def rms_contrast(picture) -> Tensor:
    """Standard deviation of CIE L*, 0..50 (Peli 1990, doi 10.1364/JOSAA.7.002032)."""
    return picture.lab[:, 0].std((1, 2), correction=0)


def luminance_entropy(picture) -> Tensor:
    """Shannon entropy of CIE L* as a share of its largest value, 256 levels: bits, 0..8."""
    return histogram.entropy(histogram.counts(histogram.levels(picture.lab[:, 0]).flatten(1), 256).to(picture.dtype))
