"""Value in the painter's sense: the scale from dark to light."""
import torch
from torch import Tensor

from . import histogram
from .colour import level_entropy, over_colours, std_of

rms_contrast = std_of("L")
"""Standard deviation of CIE L*, 0..50 (Peli 1990, doi 10.1364/JOSAA.7.002032)."""


def luminance_entropy(picture) -> Tensor:
    """Shannon entropy of CIE L* as a share of its largest value, 256 levels: bits, 0..8."""
    return over_colours(picture, lambda own: level_entropy(own, own.lab[0]))


def otsu_separability(picture) -> Tensor:
    """How far dark and light part: the variance between Otsu's two classes of grey as a share of all of it, 0..1.

    1 in pure black and white, about 0.75 where all values are equally common; 0 in one grey. Otsu 1979,
    doi 10.1109/TSMC.1979.4310076.
    """
    hist = picture.grey_counts.double()
    level = torch.arange(256, dtype=torch.float64, device=hist.device)
    share = hist / hist.sum(1, keepdim=True)
    variance = (share * level ** 2).sum(1) - (share * level).sum(1) ** 2
    between = histogram.between_classes(hist).amax(1)
    return torch.where(between > 0, between / variance.clamp(min=between), 0).to(picture.dtype)


def dark_share(picture) -> Tensor:
    """How the picture divides into dark and light: the share of the pixels in Otsu's darker class, 0..1.

    A third or two, or the golden 0.38 and 0.62, are the divisions that manuals of composition recommend.
    """
    hist = picture.grey_counts
    dark = torch.arange(256, device=hist.device) <= histogram.otsu(hist).to(hist.device)[:, 0]
    return (hist * dark).sum(1).to(picture.dtype) / hist.sum(1)
