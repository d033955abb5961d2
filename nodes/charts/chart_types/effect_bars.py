"""Parts and what they do: bars with whiskers to both sides of zero, and a grid of coloured numbers."""
import math
from collections.abc import Sequence
from typing import NamedTuple

from ..drawing.scene import Node, fitted, layer, line, place, rect, text
from ..drawing.theme import Colour, Theme

WIDTH, MARGIN, LABEL = 960, 36, 250
HEAD, ROW, FOOT = 128, 54, 74
NUMBER = 92  # pixels for a number behind a bar
CELL, CELL_HIGH = 92, 40

Row = tuple[str, Sequence[float | None]]


class Part(NamedTuple):
    """A name, a signed number, None where it was not measured, and its standard error, None where not known."""
    name: str
    value: float | None
    error: float | None = None


class Words(NamedTuple):
    title: str
    subtitle: str
    foot: str


def effect_bars(parts: Sequence[Part], words: Words, theme: Theme) -> Node:
    """One bar a part, in the order given, with a whisker of two standard errors to each side."""
    axis = _axis(parts)
    rows = [place(MARGIN, HEAD + ROW * number, _bar(part, axis, theme)) for number, part in enumerate(parts)]
    return layer([*_words(words, HEAD + ROW * len(rows), theme), *rows], WIDTH, HEAD + ROW * len(rows) + FOOT)


class Axis(NamedTuple):
    """zero: pixels from the left of the bars; scale: pixels a unit; largest: of the values, without their sign."""
    zero: float
    scale: float
    largest: float


def _axis(parts: Sequence[Part]) -> Axis:
    """As long as bars, whiskers and the numbers behind them need; from the left where none points there."""
    known = [(part.value, 2 * (part.error or 0)) for part in parts if part.value is not None]
    low = min([0.0, *(value - spread for value, spread in known)])
    high = max([0.0, *(value + spread for value, spread in known)])
    left, right = (NUMBER * any(known) for known in ([low < 0], [high > 0, *(value >= 0 for value, _ in known)]))
    scale = (WIDTH - 2 * MARGIN - LABEL - left - right) / (high - low or 1.0)
    return Axis(left - low * scale, scale, _largest([value for value, _ in known]))


def _words(words: Words, bottom: float, theme: Theme) -> list[Node]:
    room = WIDTH - 2 * MARGIN
    return [place(MARGIN, 16, fitted(words.title, 32, theme.ink, room, bold=True)),
            place(MARGIN, 64, fitted(words.subtitle, 22, theme.muted, room)),
            place(MARGIN, bottom + 22, fitted(words.foot, 20, theme.muted, room))]


def _bar(part: Part, axis: Axis, theme: Theme) -> Node:
    zero, scale, largest = axis
    name = fitted(part.name, 25, theme.ink, LABEL - 16)
    marks = [place(0, (ROW - name.h) / 2, name), place(LABEL + zero - 1, 4, rect(2, ROW - 8, theme.muted))]
    if part.value is None:
        none = text("not measured", 20, theme.muted)
        room = zero + 12 + none.w < WIDTH - 2 * MARGIN - LABEL
        at = LABEL + zero + (12 if room else -12 - none.w)
        return layer([*marks, place(at, (ROW - none.h) / 2, none)], WIDTH - 2 * MARGIN, ROW)
    length, spread = abs(part.value) * scale, 2 * (part.error or 0) * scale
    end = zero + part.value * scale
    marks.append(place(LABEL + min(zero, end), ROW / 2 - 12,
                       rect(max(1.0, length), 24, theme.gain if part.value >= 0 else theme.loss, 3)))
    if spread:
        marks.append(place(LABEL + end - spread, ROW / 2, line([(0, 0), (2 * spread, 0)], theme.ink)))
        marks += [place(LABEL + end + side, ROW / 2 - 6, line([(0, 0), (0, 12)], theme.ink))
                  for side in (-spread, spread)]
    number = text(_signed(part.value, largest), 22, theme.ink)
    at = end + spread + 10 if part.value >= 0 else end - spread - 10 - number.w
    return layer([*marks, place(LABEL + at, (ROW - number.h) / 2, number)], WIDTH - 2 * MARGIN, ROW)


def effect_grid(rows: Sequence[Row], columns: Sequence[str], words: Words, theme: Theme,
                whole: Row | None = None) -> Node:
    """A row a part, a column a quantity; each column has its own scale, since quantities differ in units.

    whole: a last row apart from the others, which has no say in the scales."""
    width, top = max(WIDTH, 2 * MARGIN + LABEL + CELL * len(columns)), HEAD + 44
    scales = [_largest(values) for values in zip(*(values for _, values in rows), strict=True)]
    heads = [place(MARGIN + LABEL + CELL * number, HEAD - 8, _head(name, theme))
             for number, name in enumerate(columns)]
    body = [place(MARGIN, top + CELL_HIGH * number, _cells(row, scales, theme))
            for number, row in enumerate(rows)]
    bottom = top + CELL_HIGH * len(rows)
    if whole:
        body.append(place(MARGIN, bottom + 8, _cells(whole, scales, theme)))
        bottom += CELL_HIGH + 8
    return layer([*_words(words, bottom, theme), *heads, *body], width, bottom + FOOT)


def _head(name: str, theme: Theme) -> Node:
    """The name of a column in at most two lines, which stand on the same ground."""
    first, _, rest = name.partition(" ")
    lines = [first, rest] if rest else ["", first]
    return layer([place(0, 22 * number, fitted(words, 17, theme.ink, CELL - 4))
                  for number, words in enumerate(lines) if words], CELL, 44)


def _cells(row: Row, scales: Sequence[float], theme: Theme) -> Node:
    name, values = row
    label = fitted(name, 21, theme.ink, LABEL - 16)
    marks = [place(0, (CELL_HIGH - label.h) / 2, label)]
    for number, (value, scale) in enumerate(zip(values, scales, strict=True)):
        left = LABEL + CELL * number
        fill = theme.band if value is None else _mixed(theme, value / scale)
        words = text("-" if value is None else _signed(value, scale), 17,
                     theme.paper if value is not None and abs(value) > 0.6 * scale else theme.ink)
        marks += [place(left, 2, rect(CELL - 3, CELL_HIGH - 4, fill, 2)),
                  place(left + (CELL - 3 - words.w) / 2, (CELL_HIGH - words.h) / 2, words)]
    return layer(marks, LABEL + CELL * len(values), CELL_HIGH)


def _largest(values: Sequence[float | None]) -> float:
    return max((abs(value) for value in values if value is not None), default=0.0) or 1.0


def _signed(value: float, largest: float) -> str:
    """With the decimals that give the largest three figures."""
    places = min(4, max(0, 2 - math.floor(math.log10(largest))))
    return f"{round(value, places) + 0.0:+.{places}f}"


def _mixed(theme: Theme, share: float) -> Colour:
    """From the colour of an empty cell to that of a gain or a loss."""
    full, strength = theme.gain if share > 0 else theme.loss, min(1.0, abs(share))
    return tuple(round(low + (high - low) * strength) for low, high in zip(theme.band, full, strict=True))
