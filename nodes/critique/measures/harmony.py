"""Colour harmony: how well the hues fit eight templates of the hue circle.

Matsuda's templates as Cohen-Or et al. 2006 use them, doi 10.1145/1141911.1141933: a template is a set of sectors that
may be turned; a hue outside all of them counts its distance to the nearest, by saturation.
"""
import torch
from torch import Tensor

TEMPLATES = {"i": ((0, 0.05),), "V": ((0, 0.26),), "L": ((0, 0.05), (0.25, 0.22)),
             "mirrored L": ((0, 0.05), (-0.25, 0.22)), "I": ((0, 0.05), (0.5, 0.05)), "T": ((0.25, 0.5),),
             "Y": ((0, 0.26), (0.5, 0.05)), "X": ((0, 0.26), (0.5, 0.26))}
"""(centre, width) of the sectors as shares of the circle."""

WIDTHS = {name: sum(width for _, width in sectors) for name, sectors in TEMPLATES.items()}
FITS = 0.9  # the fit from which a template is said to hold the hues of a picture
HUES = 360


def fit_of(template: str):
    """The measure "fit to a template": 0 (no better than if all hues were alike) .. 1 (all hues inside)."""
    index = list(TEMPLATES).index(template)

    def harmony(picture) -> Tensor:
        return picture.once(fits)[:, index]

    return harmony


def template_width(picture) -> Tensor:
    """The narrowest template that holds the hues (a fit of 0.9 or more), as the share of the circle it covers.

    0.05 (i, one hue) .. 0.52 (X); 1 where none does. A picture without colour fits the narrowest.
    """
    widths = picture.once(fits).new_tensor(list(WIDTHS.values()))
    return torch.where(picture.once(fits) >= FITS, widths, 1).amin(1)


def fits(picture) -> Tensor:
    """1 - F / F(uniform) for each template, [B, 8]: F is the mean distance at the best turn of the template.

    F(uniform) is what hues spread evenly over the circle would give, so that wide templates have no advantage.
    """
    hues = torch.stack([_hues(own) for own in picture.palettes])
    apart = distances(hues.dtype, hues.device)
    found = turned(hues, apart).amin(2)
    return 1 - (found / apart.mean(1)).clamp(0, 1)


def distances(dtype: torch.dtype, device=None) -> Tensor:
    """Degrees from each of 360 hues to the nearest sector of each template at rest, [8, 360]."""
    hue = torch.arange(HUES, dtype=dtype, device=device)

    def outside(centre, width):
        return (((hue - centre * HUES + HUES / 2) % HUES - HUES / 2).abs() - width * HUES / 2).clamp(min=0)

    return torch.stack([torch.stack([outside(*sector) for sector in sectors]).amin(0)
                        for sectors in TEMPLATES.values()])


def turned(hues: Tensor, apart: Tensor) -> Tensor:
    """Mean distance at each turn of each template: shares of hues [B, 360], [8, 360] -> [B, 8, 360] degrees."""
    around = torch.cat((hues, hues[:, :-1]), 1).unfold(1, HUES, 1)      # [B, turn, hue]: the hues, turned back
    return apart @ around.mT


def _hues(own) -> Tensor:
    """Share of the saturation at each whole degree of hue, [360]."""
    degree = (own.hsv[0] * HUES).round().long() % HUES
    mass = own.sums(degree, HUES, own.hsv[1])
    total = mass.sum()
    return mass / torch.where(total > 0, total, 1)
