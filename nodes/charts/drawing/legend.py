"""The legend of a chart: names beside their colours, in as many rows as they need."""
from collections.abc import Sequence

from .scene import Node, fitted, layer, place, rect, text
from .theme import Colour, Theme

ROW, SWATCH, BETWEEN = 1.65, 1.35, 1.25  # in sizes of the words


def legend(entries: Sequence[tuple[str, Colour]], room: float, most: int, size: float, theme: Theme) -> Node:
    """Rows of at most `room` pixels; where `most` rows do not hold all, the last one ends in an ellipsis."""
    rows, at, swatch = [[]], 0.0, SWATCH * size
    for name, colour in entries:
        word = fitted(name, size, theme.ink, room - swatch)
        if rows[-1] and at + swatch + word.w > room:
            rows.append([])
            at = 0.0
        rows[-1] += [place(at, word.h / 2 - 0.36 * size, rect(0.9 * size, 0.72 * size, colour, 3)),
                     place(at + swatch, 0, word)]
        at += swatch + word.w + BETWEEN * size
    if len(rows) > most:
        *_, last = rows[most - 1]
        rows = [*rows[:most - 1], [*rows[most - 1], place(last.x + last.w + 8, 0, text("...", size, theme.ink))]]
    return layer([place(0, ROW * size * number, layer(row)) for number, row in enumerate(rows) if row], room,
                 ROW * size * len(rows) if entries else 0)
