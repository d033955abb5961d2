"""Where in the picture the most unusual measure comes from."""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..charts.scene import Node, image, layer, place, spread, text
from ..charts.theme import LIGHT, ramp
from .measures.densities import DENSITIES
from .picture import Picture
from .rubric import READINGS
from .score import Critique

CELLS = 64  # along the longer side: single pixels would show texture, not places
CAPTION = 88
WIDEST_CAPTION = 768  # holds every headline, and makes the maps of a batch one size


class Evidence(NamedTuple):
    """The column to draw and the most unusual column of all."""
    column: str
    most_unusual: str


def evidence(critique: Critique) -> Evidence:
    """The column furthest from the median of the tradition, of those that are sums over places and of all."""
    order = sorted(critique.typicalities, key=critique.typicalities.get)
    return Evidence(next(name for name in order if name in DENSITIES), order[0])


def heat(density: Tensor, height: int, width: int) -> Tensor:
    """Density [h, w] -> [height, width], 0..1: its mean over cells, the largest cell at 1, what is negative at 0."""
    cells = [max(1, round(CELLS * side / max(height, width))) for side in (height, width)]
    plane = F.interpolate(density[None, None].float(), size=(height, width), mode="bilinear")
    plane = F.interpolate(F.adaptive_avg_pool2d(plane, cells), size=(height, width), mode="bicubic")[0, 0].clamp(min=0)
    largest = plane.max()
    return plane / largest if largest > 0 else plane


def overlay(picture: Picture, plane: Tensor) -> Tensor:
    """Heat [H, W], 0..1, over the picture in grey: [H, W, 3], 0..1."""
    grey = picture.grey[0].float()[..., None] / 255
    return torch.lerp(grey * 0.7 + 0.1, ramp(plane), (plane[..., None] ** 0.7) * 0.85)


def heatmap(picture: Picture, column: str) -> Node:
    """The scene: the picture in grey under the density of `column`, with a caption and a key below."""
    width, height = picture.size
    drawn = image(overlay(picture, heat(DENSITIES[column](picture)[0], height, width)))
    key = image(ramp(torch.linspace(0, 1, 256)).expand(14, -1, -1))
    words = [text(word, 22, LIGHT.muted) for word in ("adds nothing", "adds most")]
    caption = spread([text(headline(column), 26, LIGHT.ink),
                      spread([words[0], key, words[1]], "x", 10, align="middle")], "y", 6)
    full = max(width, WIDEST_CAPTION)
    return layer([place((full - width) // 2, 0, drawn), place(16, height + 8, caption)], full, height + CAPTION)


def headline(column: str) -> str:
    """The measure that a heat map shows, as the beginning of a line."""
    name = READINGS[column].name
    return name[:1].upper() + name[1:]
