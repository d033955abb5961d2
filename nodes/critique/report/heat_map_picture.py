"""The heat map as a picture: what adds to a measure, over the picture in grey, with a caption and a key."""
import torch
from torch import Tensor

from ...charts.drawing.scene import Node, image, layer, place, spread, text
from ...charts.drawing.theme import LIGHT, ramp
from ..explain.heat_maps import HeatMap, dimmed, ends, heat
from ..explain.phrases import phrase, upper
from ..picture.planes import Picture

CAPTION = 88
WIDEST_CAPTION = 768  # holds every headline, and makes the maps of a batch one size


def overlay(picture: Picture, plane: Tensor) -> Tensor:
    """Heat [H, W], 0..1, over the picture in grey: [H, W, 3], 0..1."""
    return torch.lerp(dimmed(picture.grey[0])[..., None], ramp(plane), (plane[..., None] ** 0.7) * 0.85)


def heatmap(picture: Picture, found: HeatMap) -> Node:
    """The scene: the picture in grey under a heat map, with a caption and a key below."""
    width, height = picture.size
    drawn = image(overlay(picture, heat(found.drawn, height, width)))
    key = image(ramp(torch.linspace(0, 1, 256)).expand(14, -1, -1))
    words = [text(each, 22, LIGHT.muted) for each in ends(found.column)]
    caption = spread([text(headline(found.column), 26, LIGHT.ink),
                      spread([words[0], key, words[1]], "x", 10, align="middle")], "y", 6)
    full = max(width, WIDEST_CAPTION)
    return layer([place((full - width) // 2, 0, drawn), place(16, height + 8, caption)], full, height + CAPTION)


def headline(column: str) -> str:
    """The everyday name of the measure that a heat map shows, as the beginning of a line."""
    return upper(phrase(column).name)
