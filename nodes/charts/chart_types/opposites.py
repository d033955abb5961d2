"""Places between two poles: for every row a name, a track from -1 to 1 with its mark, and what each end means."""
from collections.abc import Sequence
from typing import NamedTuple

from ..drawing.scene import Node, circle, layer, place, rect, text
from ..drawing.theme import Theme

WIDTH, MARGIN, ROW, HEAD, FOOT = 960, 36, 112, 116, 56
TRACK = WIDTH - 2 * MARGIN
RADIUS = 10


class Pair(NamedTuple):
    """A name, its low and its high pole in words, and the place between them, -1 to 1; None where it is not known."""
    name: str
    low: str
    high: str
    place: float | None


def opposites(pairs: Sequence[Pair], titles: tuple[str, str, str], band: float, theme: Theme) -> Node:
    """Every pair on its own track; `titles` are title, subtitle and foot, `band` how far a place may be off."""
    title, subtitle, foot = titles
    height = HEAD + ROW * len(pairs) + FOOT
    rows = [place(MARGIN, HEAD + ROW * i, _row(pair, band, theme)) for i, pair in enumerate(pairs)]
    return layer([place(MARGIN, 16, text(title, 32, theme.ink, bold=True)),
                  place(MARGIN, 60, text(subtitle, 22, theme.muted)), *rows,
                  place(MARGIN, height - FOOT + 12, text(foot, 20, theme.muted))], WIDTH, height)


def _row(pair: Pair, band: float, theme: Theme) -> Node:
    known = pair.place is not None
    value = text(f"{pair.place:+.2f}" if known else "not measured", 22, theme.ink if known else theme.muted)
    low, high = (text(words, 20, theme.muted) for words in (pair.low, pair.high))
    marks = _marks(pair.place, band, theme) if known else []
    return layer([place(0, 0, text(pair.name, 25, theme.ink)), place(TRACK - value.w, 2, value),
                  place(0, 47, rect(TRACK, 3, theme.rule)), place(TRACK / 2 - 1, 38, rect(2, 20, theme.muted)),
                  *marks, place(0, 68, low), place(TRACK - high.w, 68, high)], TRACK, ROW)


def _marks(at: float, band: float, theme: Theme) -> list[Node]:
    def across(value):
        return TRACK * (min(1.0, max(-1.0, value)) + 1) / 2

    left, right = across(at - band), across(at + band)
    return [place(left, 39, rect(right - left, 18, theme.band_inner, 6)),
            place(across(at) - RADIUS, 48 - RADIUS, circle(RADIUS, theme.gain, theme.paper))]
