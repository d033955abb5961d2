"""Line charts: one or more series over their steps, such as the loss of a training."""
from collections.abc import Mapping, Sequence

from .scales import ticks
from .scene import Node, layer, line, place, rect, text
from .theme import Theme

LEFT, TOP, RIGHT, BOTTOM = 104, 92, 36, 84


def line_chart(series: Mapping[str, Sequence[float]], title: str, x_label: str, y_label: str, theme: Theme,
               width: int = 960, height: int = 600) -> Node:
    """Series of finite numbers by name, the first value at step 1. A series of one value is drawn as a level line."""
    low, high = _range(series)
    steps = max(len(values) for values in series.values())
    inner_w, inner_h = width - LEFT - RIGHT, height - TOP - BOTTOM

    def at(step, value):
        return (LEFT + inner_w * (step - 1) / max(1, steps - 1), TOP + inner_h * (high - value) / (high - low))

    curves = [line([at(step, value) for step, value in enumerate(_drawable(values), 1)], colour, 3)
              for values, colour in zip(series.values(), _cycle(theme, len(series)), strict=True)]
    grid = [node for value in ticks(low, high) for node in _rule(value, at(1, value)[1], inner_w, theme)]
    below = [_below(step, at(step, low)[0], height, theme)
             for step in ticks(1, max(2, steps)) if step == int(step) and step <= steps]
    words = text(x_label, 22, theme.muted)
    return layer([place(LEFT, 16, text(title, 30, theme.ink, bold=True)), place(12, 58, text(y_label, 22, theme.muted)),
                  *grid, *curves, *below, place(width - RIGHT - words.w, height - words.h - 10, words),
                  *_legend(series, theme, width)], width, height)


def _range(series):
    values = [value for numbers in series.values() for value in numbers]
    low, high = min(values), max(values)
    rim = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - rim, high + rim


def _drawable(values):
    return values if len(values) > 1 else [*values, *values]


def _cycle(theme, count):
    return [theme.series[i % len(theme.series)] for i in range(count)]


def _rule(value, y, width, theme):
    number = text(f"{value:g}", 22, theme.muted)
    return [place(LEFT, y, rect(width, 1.5, theme.rule)), place(LEFT - 12 - number.w, y - number.h / 2, number)]


def _below(step, x, height, theme):
    number = text(f"{step:g}", 22, theme.muted)
    return place(x - number.w / 2, height - BOTTOM + 10, number)


def _legend(series, theme, width):
    if len(series) == 1:
        return []
    nodes, right = [], width - RIGHT
    for name, colour in reversed(list(zip(series, _cycle(theme, len(series)), strict=True))):
        word = text(name, 22, theme.ink)
        right -= word.w
        nodes += [place(right, 54, word), place(right - 30, 66, rect(22, 5, colour, 2))]
        right -= 54
    return nodes
