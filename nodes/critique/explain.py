"""What the critique points at: the strongest reasons in words, and the measure that its heat map shows."""
from typing import NamedTuple

import torch
from torch import Tensor

from ..charts.scene import Node, image, layer, place, spread, text
from ..charts.theme import LIGHT, ramp
from .heat import EXACT, HeatMap, heat
from .picture import Picture
from .score import Critique, Verdict
from .words import word

CAPTION = 88
WIDEST_CAPTION = 768  # holds every headline, and makes the maps of a batch one size
STRONGEST = 3


class Evidence(NamedTuple):
    """The column to draw and the most unusual column of all."""
    column: str
    most_unusual: str


def evidence(critique: Critique) -> Evidence:
    """The column furthest from the median of the tradition, of those that are sums over places and of all.

    Columns of the criteria that count, or of the pairs where nothing does, come first; where none of them has places,
    any other one is drawn.
    """
    counted = {column for each in critique.counted or critique.positions for column in each.criterion.columns}
    order = sorted(critique.typicalities, key=lambda column: (column not in counted, critique.typicalities[column]))
    return Evidence(next(column for column in [*order, *critique.measures] if column in EXACT), order[0])


def reasons(critique: Critique) -> list[str]:
    """The criteria that move the score most, each a sentence with its most telling measure."""
    strongest = sorted(critique.counted, key=lambda v: -abs(v.contribution))[:STRONGEST]
    return [_reason(verdict, critique) for verdict in strongest]


def _reason(verdict: Verdict, critique: Critique) -> str:
    gain = verdict.contribution >= 0
    signals = [signal for signal in verdict.criterion.signals if signal.column in critique.percentiles]

    def points(signal):
        reading = signal.reading or verdict.criterion.reading
        return reading.of(signal.place(critique.percentiles[signal.column]))

    signal = (max if gain else min)(signals, key=points)
    reading, position = signal.reading or verdict.criterion.reading, critique.percentiles[signal.column]
    called = word(signal.column)
    if gain and reading.kind == "typical":
        where = f"is close to the median (percentile {position:.0f})"
    elif position >= 50:
        where = f"is higher than in {position:.0f} % of the pictures it is held against: {called.much}"
    else:
        where = f"is lower than in {100 - position:.0f} % of the pictures it is held against: {called.little}"
    asked = "" if reading.kind in ("typical", "high", "low") else f" (asked: {reading})"
    return (f"**{verdict.criterion.name}** {'adds' if gain else 'takes'} {abs(verdict.contribution):.1f} points: "
            f"{called.name} ({signal.column} {critique.measures[signal.column]:.4g}) {where}{asked}.")


def overlay(picture: Picture, plane: Tensor) -> Tensor:
    """Heat [H, W], 0..1, over the picture in grey: [H, W, 3], 0..1."""
    grey = picture.grey[0].float()[..., None] / 255
    return torch.lerp(grey * 0.7 + 0.1, ramp(plane), (plane[..., None] ** 0.7) * 0.85)


def heatmap(picture: Picture, found: HeatMap) -> Node:
    """The scene: the picture in grey under a heat map, with a caption and a key below."""
    width, height = picture.size
    drawn = image(overlay(picture, heat(found.drawn, height, width)))
    key = image(ramp(torch.linspace(0, 1, 256)).expand(14, -1, -1))
    words = [text(each, 22, LIGHT.muted) for each in ("adds nothing", "adds most")]
    caption = spread([text(headline(found.column), 26, LIGHT.ink),
                      spread([words[0], key, words[1]], "x", 10, align="middle")], "y", 6)
    full = max(width, WIDEST_CAPTION)
    return layer([place((full - width) // 2, 0, drawn), place(16, height + 8, caption)], full, height + CAPTION)


def headline(column: str) -> str:
    """The measure that a heat map shows, as the beginning of a line."""
    name = word(column).name
    return name[:1].upper() + name[1:]
