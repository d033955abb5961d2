"""A waterfall: how signed parts add up, each bar hanging where the one before ended."""
from itertools import accumulate

from .. import scene
from ..frame import Frame
from ..scales import Linear, lengths
from ..scene import Node, place, rect, text
from ..theme import Theme

ROW, SIZE, TOP, RIM = 38, 22, 72, 28


def waterfall(rows, frame: Frame, theme: Theme, label: str, value: str) -> Node:
    """One level bar a row, read from the top, and the sum below; as high as the rows need."""
    ends = list(accumulate((row[value] for row in rows), initial=0.0))
    left = RIM + max(text(str(row[label]), SIZE, theme.ink).w for row in rows) + 16
    scale = lengths(min(ends), max(ends), max(80.0, frame.w - left - RIM - 90))
    height = max(frame.h, TOP + ROW * (len(rows) + 1) + RIM)
    step = min(64.0, (height - TOP - RIM) / (len(rows) + 1))
    bars = [place(0, TOP + step * i, _row(str(row[label]), ends[i], ends[i + 1], scale, left, step, theme))
            for i, row in enumerate(rows)]
    whole = place(0, TOP + step * len(rows), _row("sum", 0.0, ends[-1], scale, left, step, theme, theme.muted))
    zero = place(left + scale(0.0) - 1, TOP, rect(2, step * (len(rows) + 1), theme.muted))
    title = place(RIM, 20, text(frame.title, 30, theme.ink, bold=True))
    return scene.layer([title, *bars, whole, zero], frame.w, height)


def _row(name, start, end, scale: Linear, left, step, theme, colour=None) -> Node:
    low, high = scale(min(start, end)), scale(max(start, end))
    word, number = text(name, SIZE, theme.ink), text(f"{end - start:+.3g}", 20, theme.muted)
    colour = colour or (theme.gain if end >= start else theme.loss)
    return scene.layer([
        place(left - 16 - word.w, (step - word.h) / 2, word),
        place(left + low, step * 0.14, rect(max(1.5, high - low), step * 0.72, colour, 2)),
        place(left + high + 10, (step - number.h) / 2, number),
    ], left + scale.length, step)
