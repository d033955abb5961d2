"""Bars for the blocks of a model, a row a family: where a LoRA works, at a glance."""
from collections.abc import Sequence
from typing import NamedTuple

from ..drawing.scene import Node, fitted, layer, place, rect, text
from ..drawing.theme import Theme

WIDTH, MARGIN, LABEL, SHARE = 960, 32, 150, 92
HEAD, ROW, FOOT = 122, 112, 16
BAR_HEIGHT, WIDEST, BETWEEN = 62, 44, 0.28


class Bar(NamedTuple):
    """A block: its short name, and how much is changed in it. None: it is changed, by how much is not known."""
    name: str
    value: float | None


class Family(NamedTuple):
    """Blocks of one kind, in their order. `share` of the whole, 0..1."""
    label: str
    bars: Sequence[Bar]
    share: float


def block_chart(families: Sequence[Family], title: str, subtitle: str, theme: Theme) -> Node:
    """A row of bars for every family, all on one scale; the highest bar has a colour of its own."""
    highest = max((bar.value or 0.0 for family in families for bar in family.bars), default=0.0)
    rows = [place(MARGIN, HEAD + ROW * i, _row(family, highest, theme)) for i, family in enumerate(families)]
    return layer([place(MARGIN, 14, text(title, 32, theme.ink, bold=True)),
                  place(MARGIN, 62, text(subtitle, 23, theme.muted)), *rows], WIDTH, HEAD + ROW * len(rows) + FOOT)


def _row(family: Family, highest: float, theme: Theme) -> Node:
    room = WIDTH - 2 * MARGIN - LABEL - SHARE
    step = min(room / max(len(family.bars), 1), WIDEST)
    floor = ROW - 34
    share = text(f"{family.share:.0%}", 24, theme.ink)
    bars = [node for i, bar in enumerate(family.bars)
            for node in _bar(bar, LABEL + step * i, floor, step, highest, theme)]
    return layer([place(0, floor - 28, fitted(family.label, 26, theme.ink, LABEL - 14, bold=True)), *bars,
                  place(WIDTH - 2 * MARGIN - share.w, floor - 28, share), *_names(family, step, floor, theme)],
                 WIDTH - 2 * MARGIN, ROW)


def _bar(bar: Bar, x: float, floor: float, step: float, highest: float, theme: Theme) -> list[Node]:
    width = max(2.0, step * (1 - BETWEEN))
    if bar.value is None:
        return [place(x, floor - 14, rect(width, 14, None, 0, theme.loss))]
    length = BAR_HEIGHT * bar.value / highest if highest else 0.0
    ground = place(x, floor, rect(width, 2, theme.rule))
    if not bar.value:
        return [ground]
    colour = theme.loss if bar.value == highest else theme.gain
    return [ground, place(x, floor - max(2.0, length), rect(width, max(2.0, length), colour))]


def _names(family: Family, step: float, floor: float, theme: Theme) -> list[Node]:
    """Names below the bars: of each where there is room, else of the first and then as many as fit."""
    words, right = [], 0.0
    for i, bar in enumerate(family.bars):
        word = fitted(bar.name, 20, theme.muted, 150)
        x = LABEL + step * i
        if x >= right:
            words.append(place(x, floor + 4, word))
            right = x + word.w + 12
    return words

