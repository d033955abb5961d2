"""The frame of a chart: title, axes and what they measure, names of groups, legend."""
import math
from typing import NamedTuple

from ..drawing import scene
from ..drawing.legend import legend
from ..drawing.scene import Node, fitted, place, rect, text
from ..drawing.theme import Theme
from .compose import compose
from .grammar import Chart, Mark
from .layout import Plot, running
from .polar import bend
from .scales import SIDES, Linear, gap_of, groups, is_column, rooms

WIDTH, HEIGHT = 960, 600
SMALLEST, LARGEST, SHARE = 15, 22, 1 / 26  # words in pixels, and as a share of the shorter side
TITLED = 260  # pixels of height from which axes have titles


class Frame(NamedTuple):
    """How a chart is presented. w and h are those of the whole picture in pixels; x and y are titles of the axes, None
    for the names of their columns."""
    title: str = ""
    w: int = WIDTH
    h: int = HEIGHT
    axes: bool = True
    legend: bool = True
    coord: str = "flat"
    x: str | None = None
    y: str | None = None

    @property
    def size(self) -> float:
        """Height of the words in pixels; what is around them is measured by it."""
        return max(SMALLEST, min(LARGEST, SHARE * min(self.w, self.h)))

    @property
    def rim(self) -> float:
        return 1.25 * self.size

    @property
    def top(self) -> float:
        """Where what stands under the title begins."""
        return self.rim + (2.3 * self.size if self.title else 0)


class Edges(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


def draw(root: Mark | Chart, frame: Frame, theme: Theme) -> Node:
    """The scene of a whole chart. Raises ValueError with one sentence for what cannot be drawn."""
    charts = list(root.children or ()) if isinstance(root, Mark) and root.kind == "layer" else [root]
    if not all(isinstance(chart, Chart) for chart in charts):
        return _composed(root, frame, theme)
    entries = Plot(charts, 1, 1, theme).fills.legend() if frame.legend else []
    key = legend(entries, frame.w - 2 * frame.rim, max(1, int(frame.h / 6 / frame.size)), frame.size, theme)
    edges = _edges(charts, frame, theme, key)
    room_w, room_h = frame.w - edges.left - edges.right, frame.h - edges.top - edges.bottom
    if min(room_w, room_h) < 40:
        raise ValueError(f"spec: a chart of {frame.w} x {frame.h} pixels leaves no room to draw; make w and h larger")
    if frame.coord == "polar":
        room_w = room_h = min(room_w, room_h)
    plot = Plot(charts, room_w, room_h, theme)
    inner = bend(plot.scene()) if frame.coord == "polar" else plot.scene()
    left = (frame.w - room_w) / 2 if frame.coord == "polar" else edges.left
    around = _axes(plot, left, edges.top, frame, theme)
    return scene.layer([*title(frame, theme), *around, place(left, edges.top, inner),
                        place(frame.rim, frame.top, key)], frame.w, frame.h)


def _composed(root: Mark, frame: Frame, theme: Theme) -> Node:
    inner = compose(root, theme)
    return scene.layer([*title(frame, theme), place((frame.w - inner.w) / 2, frame.top, inner)],
                       frame.w, max(frame.h, frame.top + inner.h + frame.rim))


def _edges(charts, frame: Frame, theme, key: Node) -> Edges:
    top, rim, size = frame.top + key.h, frame.rim, frame.size
    if not frame.axes or frame.coord == "polar":
        return Edges(rim, top, rim, rim)
    plot = Plot(charts, frame.w, frame.h, theme)
    across, up = (1.4 * size if axis_title(plot, axis, frame) else 0 for axis in SIDES)
    labels = [text(label, size, theme.muted).w for label, _ in _ticks(plot, "y")]
    below = 1.9 * size if _ticks(plot, "x") else 0
    return Edges(min(frame.w * 0.4, rim + size / 2 + max(labels, default=0)), top + up + size / 2, rim + size / 2,
                 rim + below + across)


def axis_title(plot: Plot, axis: str, frame: Frame) -> str:
    """What an axis measures: as it was asked for, or the one column that is drawn along it."""
    asked = getattr(frame, axis)
    if asked is not None or frame.h < TITLED:
        return asked or ""
    columns = {o.options[axis] for c in plot.charts for o in c.operators if o.kind == "scatter" and axis in o.options}
    columns |= {c.leaf.options.get(SIDES[axis]) for c in plot.charts if c.leaf.kind == "rect"
                and is_column(c.leaf.options.get(SIDES[axis]), c.rows)}
    return columns.pop() if len(columns) == 1 else ""


def _ticks(plot: Plot, axis: str) -> list[tuple[str, float]]:
    """(label, place) along an axis: numbers where it measures, the names of the outermost groups where it does not."""
    scale = plot.placed.get(axis) or plot.sized.get(axis)
    return scale.ticks() if scale else _names(plot, axis)


def _names(plot: Plot, axis: str) -> list[tuple[str, float]]:
    for chart in plot.charts:
        for operator in chart.operators:
            if operator.kind in ("spread", "stack") and operator.options.get("dir", "x") == axis:
                return _named_parts(operator, chart, plot.box.along(axis), axis)
    return []


def _named_parts(operator, chart: Chart, length: float, axis: str) -> list[tuple[str, float]]:
    if operator.options.get("by") is None:
        return []
    parts = groups(chart.rows, operator.options["by"])
    sizes = rooms(operator, chart.operators[chart.operators.index(operator) + 1:], list(parts.values()), axis, length)
    starts = running(sizes, gap_of(operator))
    return [(str(part), start + size / 2) for part, start, size in zip(parts, starts, sizes, strict=True)]


def _axes(plot: Plot, left, top, frame: Frame, theme) -> list[Node]:
    if not frame.axes or frame.coord == "polar":
        return []
    w, h, size = plot.box.w, plot.box.h, frame.size
    nodes = []
    measured_y = "y" in plot.placed or "y" in plot.sized
    for label, at in _ticks(plot, "y"):
        word, y = fitted(label, size, theme.muted, left - frame.rim / 2), top + (h - at if measured_y else at)
        if measured_y:
            nodes.append(place(left, y - 0.75, rect(w, 1.5, theme.rule)))
        nodes.append(place(left - size / 2 - word.w, y - word.h / 2, word))
    measured_x = "x" in plot.placed or "x" in plot.sized
    numbers = measured_x and isinstance(plot.placed.get("x") or plot.sized.get("x"), Linear)
    if numbers:
        nodes += [place(left + at - 0.75, top, rect(1.5, h, theme.rule)) for _, at in _ticks(plot, "x")]
    across, up = (fitted(axis_title(plot, axis, frame), size, theme.muted, frame.w - 2 * frame.rim) for axis in SIDES)
    return [*nodes, *_below(_ticks(plot, "x"), left, top + h + size / 2, frame, theme, numbers),
            place(frame.rim, top - 1.9 * size, up), place(left + w - across.w, top + h + 1.9 * size, across)]


def _below(ticks, left, y, frame: Frame, theme, whole: bool) -> list[Node]:
    """Labels under the plot; one that would touch the one before is left out, and with `whole` one that has no room:
    a number that is cut reads as another."""
    words, free = [], -math.inf
    for label, at in ticks:
        word = fitted(label, frame.size, theme.muted, 2 * min(left + at, frame.w - left - at) - 8)
        start = left + at - word.w / 2
        if start >= free and not (whole and word.look["text"] != label):
            words.append(place(start, y, word))
            free = start + word.w + frame.size / 2
    return words


def title(frame: Frame, theme: Theme) -> list[Node]:
    """The title; nothing can be seen where there is none."""
    words = fitted(frame.title, 1.36 * frame.size, theme.ink, frame.w - 2 * frame.rim, bold=True)
    return [place(frame.rim, 0.9 * frame.size, words)]
