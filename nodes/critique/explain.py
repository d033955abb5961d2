"""What the critique points at: the strongest reasons in words, and the measure that its heat map shows."""
from typing import NamedTuple

import torch
from torch import Tensor

from ..charts.scene import Node, image, layer, place, spread, text
from ..charts.theme import LIGHT, ramp
from .heat import EXACT, HeatMap, dimmed, heat
from .picture import Picture
from .score import Critique, Verdict
from .words import digits, share, word

CAPTION = 88
WIDEST_CAPTION = 768  # holds every headline, and makes the maps of a batch one size
STRONGEST = 3
CLOSE = 10  # percentiles within which a measure is neither much nor little
NOTHING = 0.01  # of any column with places: what rounding leaves of the colours of a grey picture


class Evidence(NamedTuple):
    """The column to draw, the most unusual column of all, and which map was asked for: see `heat.HeatMap.exact`."""
    column: str
    most_unusual: str
    exact: bool = True
    asked: bool = False


def evidence(critique: Critique) -> Evidence:
    """The column furthest from the median of the tradition, of those that are sums over places and of all.

    Columns that count, or those of the pairs where nothing does, come first; where none of them has places, any other
    one is drawn. A column of as good as 0 has nothing to show.
    """
    counted = {signal.column for verdict in critique.counted for signal in verdict.heard} or {
        column for position in critique.positions for column in position.criterion.columns}
    order = sorted(critique.typicalities, key=lambda column: (column not in counted, critique.typicalities[column]))
    drawable = [column for column in [*order, *critique.measures] if column in EXACT]
    shown = [column for column in drawable if abs(critique.measures[column]) >= NOTHING] or drawable
    return Evidence(shown[0], order[0])


def reasons(critique: Critique) -> list[str]:
    """The criteria that move the score most, each a sentence with its most telling measure."""
    strongest = sorted(critique.counted, key=lambda v: -abs(v.contribution))[:STRONGEST]
    return [_reason(verdict, critique) for verdict in strongest]


def _reason(verdict: Verdict, critique: Critique) -> str:
    gain = verdict.contribution >= 0
    def points(signal):
        reading = signal.reading or verdict.criterion.reading
        return reading.of(signal.place(critique.percentiles[signal.column]))

    signal = (max if gain else min)(verdict.heard, key=points)
    reading, position = signal.reading or verdict.criterion.reading, critique.percentiles[signal.column]
    called = word(signal.column)
    if abs(position - 50) <= CLOSE:
        where = f"is close to the median (percentile {position:.0f})"
    elif gain and reading.kind == "typical":
        where = f"lies in the middle half (percentile {position:.0f})"
    elif position >= 50:
        where = f"is higher than in {share(position)} the pictures it is held against: {called.much}"
    else:
        where = f"is lower than in {share(100 - position)} the pictures it is held against: {called.little}"
    asked = "" if reading.kind in ("typical", "high", "low") else f" (asked: {reading})"
    return (f"**{verdict.criterion.name}** {'adds' if gain else 'takes'} {abs(verdict.contribution):.1f} points: "
            f"{called.name} ({signal.column} {digits(critique.measures[signal.column])}) {where}{asked}.")


def overlay(picture: Picture, plane: Tensor) -> Tensor:
    """Heat [H, W], 0..1, over the picture in grey: [H, W, 3], 0..1."""
    return torch.lerp(dimmed(picture.grey[0])[..., None], ramp(plane), (plane[..., None] ** 0.7) * 0.85)


def heatmap(picture: Picture, found: HeatMap) -> Node:
    """The scene: the picture in grey under a heat map, with a caption and a key below."""
    width, height = picture.size
    drawn = image(overlay(picture, heat(found.drawn, height, width)))
    key = image(ramp(torch.linspace(0, 1, 256)).expand(14, -1, -1))
    verb = "adds" if found.exact else "hiding it changes"
    words = [text(f"{verb} {each}", 22, LIGHT.muted) for each in ("nothing", "most")]
    caption = spread([text(headline(found.column), 26, LIGHT.ink),
                      spread([words[0], key, words[1]], "x", 10, align="middle")], "y", 6)
    full = max(width, WIDEST_CAPTION)
    return layer([place((full - width) // 2, 0, drawn), place(16, height + 8, caption)], full, height + CAPTION)


def headline(column: str) -> str:
    """The measure that a heat map shows, as the beginning of a line."""
    name = word(column).name
    return name[:1].upper() + name[1:]
