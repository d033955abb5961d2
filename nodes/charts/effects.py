"""Parts and what they do: bars with whiskers to both sides of zero, and a grid of coloured numbers."""
from collections.abc import Sequence
from typing import NamedTuple

from .scene import Node, layer, line, place, rect, text
from .theme import Colour, Theme

WIDTH, MARGIN, LABEL = 960, 36, 250
HEAD, ROW, FOOT = 128, 54, 74
CELL, CELL_HIGH, NUMBERED = 92, 40, 46  # a cell at most so wide; below NUMBERED it has a colour only


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
    reach = max((abs(part.value) + 2 * (part.error or 0) for part in parts if part.value is not None), default=0) or 1.0
    rows = [place(MARGIN, HEAD + ROW * number, _bar(part, reach, theme)) for number, part in enumerate(parts)]
    return layer([*_words(words, HEAD + ROW * len(rows), theme), *rows], WIDTH, HEAD + ROW * len(rows) + FOOT)


def _words(words: Words, bottom: float, theme: Theme) -> list[Node]:
    return [place(MARGIN, 16, text(_fit(words.title, 32, WIDTH - 2 * MARGIN), 32, theme.ink, bold=True)),
            place(MARGIN, 64, text(_fit(words.subtitle, 22, WIDTH - 2 * MARGIN), 22, theme.muted)),
            place(MARGIN, bottom + 22, text(_fit(words.foot, 20, WIDTH - 2 * MARGIN), 20, theme.muted))]


def _bar(part: Part, reach: float, theme: Theme) -> Node:
    room = WIDTH - 2 * MARGIN - LABEL
    middle, scale = room / 2, (room / 2 - 84) / reach
    name = text(_fit(part.name, 25, LABEL - 16), 25, theme.ink)
    marks = [place(0, (ROW - name.h) / 2, name), place(LABEL + middle - 1, 4, rect(2, ROW - 8, theme.muted))]
    if part.value is None:
        none = text("not measured", 20, theme.muted)
        return layer([*marks, place(LABEL + middle + 12, (ROW - none.h) / 2, none)], WIDTH - 2 * MARGIN, ROW)
    length, spread = abs(part.value) * scale, 2 * (part.error or 0) * scale
    end = middle + part.value * scale
    marks.append(place(LABEL + min(middle, end), ROW / 2 - 12,
                       rect(max(1.0, length), 24, theme.gain if part.value >= 0 else theme.loss, 3)))
    if spread:
        marks.append(place(LABEL + end - spread, ROW / 2, line([(0, 0), (2 * spread, 0)], theme.ink)))
        marks += [place(LABEL + end + side, ROW / 2 - 6, line([(0, 0), (0, 12)], theme.ink))
                  for side in (-spread, spread)]
    number = text(f"{part.value:+.3g}", 22, theme.ink)
    at = end + spread + 10 if part.value >= 0 else end - spread - 10 - number.w
    return layer([*marks, place(LABEL + at, (ROW - number.h) / 2, number)], WIDTH - 2 * MARGIN, ROW)


def effect_grid(rows: Sequence[tuple[str, Sequence[float | None]]], columns: Sequence[str], words: Words,
                theme: Theme) -> Node:
    """A row a quantity, a column a part; colours are of each row's own scale, since quantities differ in units."""
    wide = min(CELL, (WIDTH - 2 * MARGIN - LABEL) / len(columns))
    heads = [place(MARGIN + LABEL + wide * number, HEAD - 4, text(_fit(name, 19, wide - 4), 19, theme.ink))
             for number, name in enumerate(columns) if wide >= NUMBERED or number % -(-len(columns) // 12) == 0]
    if wide < NUMBERED:
        heads = [head._replace(look={**head.look, "text": name})
                 for head, name in zip(heads, columns[::-(-len(columns) // 12)], strict=True)]
    top = HEAD + 26
    body = [place(MARGIN, top + CELL_HIGH * number, _cells(name, values, wide, theme))
            for number, (name, values) in enumerate(rows)]
    bottom = top + CELL_HIGH * len(rows)
    return layer([*_words(words, bottom, theme), *heads, *body], WIDTH, bottom + FOOT)


def _cells(name: str, values: Sequence[float | None], wide: float, theme: Theme) -> Node:
    label = text(_fit(name, 21, LABEL - 16), 21, theme.ink)
    largest = max((abs(value) for value in values if value is not None), default=0.0) or 1.0
    marks = [place(0, (CELL_HIGH - label.h) / 2, label)]
    for number, value in enumerate(values):
        left = LABEL + wide * number
        fill = theme.band if value is None else _mixed(theme, value / largest)
        marks.append(place(left, 2, rect(wide - 3, CELL_HIGH - 4, fill, 2)))
        if wide >= NUMBERED:
            words = text("-" if value is None else _signed(value), 17,
                         theme.paper if value is not None and abs(value) > 0.6 * largest else theme.ink)
            marks.append(place(left + (wide - 3 - words.w) / 2, (CELL_HIGH - words.h) / 2, words))
    return layer(marks, WIDTH - 2 * MARGIN, CELL_HIGH)


def _signed(value: float) -> str:
    return f"{value:+.0f}" if abs(value) >= 99.95 else f"{value:+.1f}"


def _mixed(theme: Theme, share: float) -> Colour:
    """From the colour of an empty cell to that of a gain or a loss."""
    full, strength = theme.gain if share > 0 else theme.loss, min(1.0, abs(share))
    return tuple(round(low + (high - low) * strength) for low, high in zip(theme.band, full, strict=True))


def _fit(words: str, size: float, room: float) -> str:
    while len(words) > 1 and text(words, size, (0, 0, 0)).w > room:
        words = words[:-2] + "…"
    return words
