"""A profile: for every row, positions on a scale of 0 to 100 and a number that counts for or against."""
from collections.abc import Sequence
from typing import NamedTuple

from ..drawing.scene import Node, circle, fitted, layer, place, rect, stack, text
from ..drawing.theme import Theme

WIDTH, MARGIN, LABEL, TRACK, GAP = 960, 36, 206, 350, 44
ROW, HEAD, FOOT, NAME = 60, 168, 112, 14


class Row(NamedTuple):
    """A label, its positions 0..100, a signed number, and the names of the positions, which outlying ones bear."""
    label: str
    positions: Sequence[float]
    points: float
    names: Sequence[str] = ()


class Titles(NamedTuple):
    """The words of a profile; `big` is the number in the corner, `track` and `points` head the two columns."""
    big: str
    title: str
    subtitle: str
    track: str
    points: str
    foot: str


def profile(rows: Sequence[Row], titles: Titles, theme: Theme) -> Node:
    """Rows of marks over the 5-95 % and 25-75 % bands, beside bars of points to both sides of zero."""
    height = HEAD + ROW * len(rows) + FOOT
    largest = max(5.0, *(abs(row.points) for row in rows))
    body = [place(MARGIN, HEAD + ROW * i, _row(row, largest, theme)) for i, row in enumerate(rows)]
    return layer([*_head(titles, theme), *body, *_foot(titles, theme, HEAD + ROW * len(rows))], WIDTH, height)


def _head(titles: Titles, theme: Theme) -> list[Node]:
    big = text(titles.big, 92, theme.ink, bold=True)
    beside = MARGIN + big.w + 28
    return [
        place(MARGIN, 12, big),
        place(beside, 32, text(titles.title, 32, theme.ink, bold=True)),
        place(beside, 76, text(titles.subtitle, 22, theme.muted)),
        place(MARGIN + LABEL, HEAD - 38, text(titles.track, 21, theme.muted)),
        place(MARGIN + LABEL + TRACK + GAP, HEAD - 38, text(titles.points, 21, theme.muted)),
    ]


def _row(row: Row, largest: float, theme: Theme) -> Node:
    label = _label(row.label, LABEL - 14, theme)
    return layer([
        place(0, (ROW - label.h) / 2, label),
        place(LABEL, 0, _track(row, theme)),
        place(LABEL + TRACK + GAP, 0, _bar(row.points, largest, theme)),
    ], WIDTH - 2 * MARGIN, ROW)


def _label(words: str, room: float, theme: Theme) -> Node:
    """The words in one line, or smaller in two, parted where the longer one is shortest."""
    line = text(words, 25, theme.ink)
    if line.w <= room:
        return line
    parted = [(words[:at], words[at + 1:]) for at, letter in enumerate(words) if letter == " "] or [(words,)]
    lines = min(parted, key=lambda parts: max(map(len, parts)))
    return stack([fitted(each, 21, theme.ink, room) for each in lines], "y")


def _track(row: Row, theme: Theme) -> Node:
    def band(low, high, thick, fill, radius=0):
        return place(TRACK * low / 100, (ROW - thick) / 2, rect(TRACK * (high - low) / 100, thick, fill, radius))

    marks = [place(TRACK * position / 100 - 9, ROW / 2 - 9,
                   circle(9, theme.gain if 5 <= position <= 95 else theme.loss, theme.paper))
             for position in sorted(row.positions, key=lambda p: abs(p - 50))]
    return layer([band(0, 100, 3, theme.rule), band(5, 95, 24, theme.band, 6), band(25, 75, 24, theme.band_inner),
                  place(TRACK / 2 - 1, ROW / 2 - 17, rect(2, 34, theme.muted)), *marks, *_outlying(row, theme)],
                 TRACK, ROW)


def _outlying(row: Row, theme: Theme) -> list[Node]:
    """The name of the measure furthest out on each side, above its dot, where it lies outside of the middle 90 %."""
    named = sorted(zip(row.positions, row.names, strict=False))
    ends = [*named[:1], *named[-1:]] if len(named) > 1 else named
    nodes = []
    for position, name in dict.fromkeys(ends):
        if not 5 <= position <= 95:
            word = fitted(name, NAME, theme.muted, TRACK / 2 - 12)
            nodes.append(place(0 if position < 5 else TRACK - word.w, -3, word))
    return nodes


def _bar(points: float, largest: float, theme: Theme) -> Node:
    room = WIDTH - 2 * MARGIN - LABEL - TRACK - GAP
    middle, reach = room / 2, room / 2 - 66
    length = max(1.0, abs(points) / largest * reach)
    number = text(f"{points:+.1f}", 22, theme.ink)
    left = middle if points >= 0 else middle - length
    at = middle + length + 8 if points >= 0 else middle - length - 8 - number.w
    return layer([
        place(left, ROW / 2 - 12, rect(length, 24, theme.gain if points >= 0 else theme.loss, 3)),
        place(middle - 1, 6, rect(2, ROW - 12, theme.muted)),
        place(at, (ROW - number.h) / 2, number),
    ], room, ROW)


def _foot(titles: Titles, theme: Theme, top: float) -> list[Node]:
    ticks = []
    for value in (0, 5, 25, 50, 75, 95, 100):
        number = text(str(value), 20, theme.muted)
        shift = {0: -10, 100: 20}.get(value, 0)  # the ends lie close to 5 and 95
        ticks.append(place(MARGIN + LABEL + TRACK * value / 100 - number.w / 2 + shift, top + 2, number))
    return [*ticks, place(MARGIN, top + 56, text(titles.foot, 20, theme.muted))]
