"""How rich and how varied the colour is: sums over the palette of a picture."""
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..picture.palette import Palette
from . import histogram

CHANNELS = {"R": ("rgb", 0), "G": ("rgb", 1), "B": ("rgb", 2), "L": ("lab", 0), "a": ("lab", 1), "b": ("lab", 2),
            "S": ("hsv", 1), "V": ("hsv", 2)}


def over_colours(picture, number: Callable[[Palette], Tensor]) -> Tensor:
    """One number of the palette of each picture: [B]."""
    return torch.stack([number(own) for own in picture.palettes])


def mean_of(channel: str) -> Callable[..., Tensor]:
    """The measure "arithmetic mean of a channel": R, G, B 0..255; L* 0..100; a*, b* about -128..127; S, V 0..1."""
    space, index = CHANNELS[channel]

    def mean(picture) -> Tensor:
        return over_colours(picture, lambda own: own.mean(getattr(own, space)[index]))

    return mean


def std_of(channel: str) -> Callable[..., Tensor]:
    """The measure "standard deviation of a channel", in the units of the channel."""
    space, index = CHANNELS[channel]

    def std(picture) -> Tensor:
        return over_colours(picture, lambda own: own.std(getattr(own, space)[index]))

    return std


def color_entropy(picture) -> Tensor:
    """Shannon entropy of the hue, 256 levels: bits, 0..8 (Bartho et al. 2023, arXiv 2307.00984)."""
    return over_colours(picture, lambda own: level_entropy(own, own.hsv[0]))


def level_entropy(own: Palette, values: Tensor) -> Tensor:
    """Entropy in bits of 256 levels of something each colour has, [U], as a share of its largest value."""
    return histogram.entropy(own.sums(histogram.levels(values[None])[0], 256).to(own.dtype))


def mean_hue(picture) -> Tensor:
    """Circular mean of HSV hue as a share of the circle, 0..1 (0 is red); grey counts as red, as in the toolbox."""
    return torch.atan2(*picture.once(_hue_vectors).flip(1).unbind(1)) / (2 * math.pi) % 1


def std_hue(picture) -> Tensor:
    """Circular standard deviation of HSV hue as a share of the circle, 0 (one hue) and up.

    sqrt(-2 ln R) / 2 pi with R the length of the mean hue vector (Fisher 1993, Statistical Analysis of Circular Data).
    """
    length = picture.once(_hue_vectors).norm(dim=1).clamp(torch.finfo(picture.dtype).tiny, 1)
    return (-2 * length.log()).clamp(min=0).sqrt() / (2 * math.pi)


def colorfulness(picture) -> Tensor:
    """Colourfulness M3 of Hasler & Suesstrunk 2003, doi 10.1117/12.477378: 0 (grey) to about 110 (extremely colourful).

    sqrt(var rg + var yb) + 0.3 sqrt(mean rg^2 + mean yb^2), rg = R - G, yb = (R + G) / 2 - B, levels 0..255.
    """
    def number(own):
        r, g, b = own.rgb
        opponent = torch.stack((r - g, (r + g) / 2 - b))
        return own.std(opponent).norm() + 0.3 * own.mean(opponent).norm()

    return over_colours(picture, number)


def warm_cold_contrast(picture) -> Tensor:
    """Standard deviation of the warmth of colours (see `warmth`), 0 to about 1.5."""
    return picture.once(_warmths)[:, 1]


def mean_warmth(picture) -> Tensor:
    """Mean warmth of the colours: -0.5 is neutral, cold below it, warm above it."""
    return picture.once(_warmths)[:, 0]


def _warmths(picture) -> Tensor:
    """Mean and standard deviation of warmth, [B, 2]."""
    def both(own):
        values = warmth(own.lab)
        return torch.stack((own.mean(values), own.std(values)))

    return over_colours(picture, both)


def warmth(lab: Tensor) -> Tensor:
    """Warm-cool scale of Ou et al. 2004, doi 10.1002/col.20010: L*a*b* [3, ...] -> [...].

    -0.5 + 0.02 C^1.07 cos(h - 50 degrees): orange is warm, blue is cold, grey is -0.5.
    """
    chroma, hue = torch.hypot(lab[1], lab[2]), torch.atan2(lab[2], lab[1])
    return -0.5 + 0.02 * chroma ** 1.07 * torch.cos(hue - math.radians(50))


def complementary_contrast(picture) -> Tensor:
    """How far the chroma gathers at two opposite hues in equal parts: 0 (one hue, or all alike) .. 1.

    |R2| (1 - |R1|) with R1 and R2 the first and second circular moments of HSV hue, weighted by saturation: R2 is 1
    where all hues lie on one axis, R1 is 0 where its two ends weigh the same. Our own, after Itten's contrast of
    complements (The Art of Color, 1961); 0 without colour.
    """
    def number(own):
        weight = own.hsv[1] * own.weight
        cos, sin = _circle(own)
        total = weight.sum().clamp(min=torch.finfo(own.dtype).tiny)
        one = torch.hypot(cos @ weight, sin @ weight) / total
        two = torch.hypot((2 * cos * cos - 1) @ weight, (2 * sin * cos) @ weight) / total
        return two * (1 - one)

    return over_colours(picture, number)


def _hue_vectors(picture) -> Tensor:
    """(cos, sin) of the hue, mean over the pixels, [B, 2]."""
    return over_colours(picture, lambda own: own.mean(_circle(own)))


def _circle(own: Palette) -> Tensor:
    """(cos, sin) of the hue of each colour, [2, U]."""
    turn = 2 * math.pi * own.hsv[0]
    return torch.stack((turn.cos(), turn.sin()))
