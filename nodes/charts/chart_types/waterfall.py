"""A waterfall: how signed parts add up, each bar hanging where the one before ended."""
from itertools import accumulate

from ..drawing import scene
from ..drawing.scene import Node, fitted, place, rect, text
from ..drawing.theme import Colour, Theme
from ..grammar.frame import Frame, title
from ..grammar.scales import Linear, lengths

ROW, WIDEST = 1.7, 64  # of a row: at least, in sizes of the words, and at most, in pixels


def waterfall(rows, frame: Frame, theme: Theme, label: str, value: str) -> Node:
    """One level bar a row, read from the top, and the sum below; as high as the rows need."""
    size, rim, top = frame.size, frame.rim, frame.top
    ends = list(accumulate((row[value] for row in rows), initial=0.0))
    names = [fitted(str(name), size, theme.ink, 0.4 * frame.w) for name in (*(row[label] for row in rows), "sum")]
    left = rim + max(name.w for name in names) + 0.7 * size
    scale = lengths(min(ends), max(ends), max(80.0, frame.w - left - rim - 4 * size))
    height = max(frame.h, top + ROW * size * len(names) + rim)
    step = min(WIDEST, (height - top - rim) / len(names))
    colours = [theme.gain if row[value] >= 0 else theme.loss for row in rows]
    parts = zip(names, [*ends[:-1], 0.0], [*ends[1:], ends[-1]], [*colours, theme.muted], strict=True)
    bars = [place(0, top + step * number, _row(*part, scale, left, step, theme)) for number, part in enumerate(parts)]
    zero = place(left + scale(0.0) - 1, top, rect(2, step * len(names), theme.muted))
    return scene.layer([*title(frame, theme), zero, *bars], frame.w, height)


def _row(name: Node, start: float, end: float, colour: Colour, scale: Linear, left, step, theme) -> Node:
    low, high = scale(min(start, end)), scale(max(start, end))
    number = text(f"{end - start:+.3g}", 0.9 * name.look["size"], theme.muted)
    ground = rect(number.w + 8, number.h, theme.paper)  # or the line at zero runs through the number
    return scene.layer([
        place(left - 0.7 * name.look["size"] - name.w, (step - name.h) / 2, name),
        place(left + low, step * 0.14, rect(max(1.5, high - low), step * 0.72, colour, 2)),
        place(left + high + 6, (step - number.h) / 2, ground),
        place(left + high + 10, (step - number.h) / 2, number),
    ], left + scale.length, step)
