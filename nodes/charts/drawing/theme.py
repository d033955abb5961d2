"""Colours that hold on light and dark ground and for colour-blind eyes (after Okabe & Ito 2008)."""
from typing import NamedTuple

import torch
from torch import Tensor

Colour = tuple[int, int, int]


class Theme(NamedTuple):
    """Roles, not hues: what a mark means decides its colour. `heat` is the part of the ramp that the paper shows."""
    paper: Colour
    ink: Colour
    muted: Colour
    rule: Colour
    band: Colour
    band_inner: Colour
    gain: Colour
    loss: Colour
    series: tuple[Colour, ...]
    heat: tuple[float, float]


LIGHT = Theme(paper=(250, 247, 240), ink=(38, 34, 30), muted=(110, 103, 95), rule=(206, 199, 188),
              band=(234, 228, 217), band_inner=(217, 209, 195), gain=(0, 104, 166), loss=(204, 88, 0),
              series=((0, 104, 166), (204, 88, 0), (0, 138, 101), (170, 82, 132), (120, 94, 20), (84, 72, 176),
                      (150, 36, 48), (84, 98, 110)), heat=(0.0, 0.75))
DARK = Theme(paper=(30, 29, 28), ink=(238, 233, 224), muted=(170, 163, 153), rule=(84, 80, 75),
             band=(48, 46, 44), band_inner=(66, 63, 59), gain=(86, 180, 233), loss=(240, 140, 50),
             series=((86, 180, 233), (240, 140, 50), (60, 190, 150), (214, 140, 184), (230, 210, 90), (160, 150, 240),
                     (236, 110, 110), (168, 180, 190)), heat=(0.35, 1.0))

HEAT = ((38, 20, 72), (120, 28, 109), (203, 65, 73), (246, 141, 35), (252, 236, 150))


def ramp(values: Tensor) -> Tensor:
    """Values 0..1 [...] -> sRGB 0..1 [..., 3]: dark violet, red, orange, pale yellow, lighter all the way."""
    stops = torch.tensor(HEAT, dtype=torch.float32, device=values.device) / 255
    place = values.clamp(0, 1) * (len(stops) - 1)
    low = place.long().clamp(max=len(stops) - 2)
    return torch.lerp(stops[low], stops[low + 1], (place - low)[..., None])
