"""The frame of a chart: title, axes, names of groups, legend, and the paper they share with what is plotted."""
from typing import NamedTuple

from . import scene
from .compose import compose
from .extents import default_gap, groups
from .grammar import Chart, Mark
from .layout import Plot
from .polar import bend
from .scales import Linear
from .scene import Node, place, rect, text
from .theme import Theme

WIDTH, HEIGHT = 960, 600
SIZE, TITLE = 22, 30
RIM, GAP = 28, 10


class Frame(NamedTuple):
    """How a chart is presented. w and h are those of the whole picture in pixels."""
    title: str = ""
    w: int = WIDTH
    h: int = HEIGHT
    axes: bool = True
    legend: bool = True
    coord: str = "flat"


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
    legend = Plot(charts, 1, 1, theme).fills.legend() if frame.legend else []
    edges = _edges(charts, frame, theme, legend)
    room_w, room_h = frame.w - edges.left - edges.right, frame.h - edges.top - edges.bottom
    if min(room_w, room_h) < 40:
        raise ValueError(f"spec: a chart of {frame.w} x {frame.h} pixels leaves no room to draw; make w and h larger")
    if frame.coord == "polar":
        room_w = room_h = min(room_w, room_h)
    plot = Plot(charts, room_w, room_h, theme)
    inner = bend(plot.scene()) if frame.coord == "polar" else plot.scene()
    left = (frame.w - room_w) / 2 if frame.coord == "polar" else edges.left
    around = _axes(plot, left, edges.top, frame, theme)
    return scene.layer([*_title(frame, theme), *around, place(left, edges.top, inner),
                        *_legend(legend, frame, theme)], frame.w, frame.h)


def _composed(root: Mark, frame: Frame, theme: Theme) -> Node:
    inner = compose(root, theme)
    top = RIM + (TITLE + 22 if frame.title else 0)
    return scene.layer([*_title(frame, theme), place((frame.w - inner.w) / 2, top, inner)],
                       frame.w, max(frame.h, top + inner.h + RIM))


def _edges(charts, frame: Frame, theme, legend) -> Edges:
    top = RIM + (TITLE + 22 if frame.title else 0) + (SIZE + 16 if legend else 0)
    if not frame.axes or frame.coord == "polar":
        return Edges(RIM, top, RIM, RIM)
    plot = Plot(charts, 100, 100, theme)
    labels = [text(label, SIZE, theme.muted).w for label, _ in _ticks(plot, "y")]
    names = _names(plot, "x")
    wide = max((text(name, SIZE, theme.muted).w for name, _ in names), default=0)
    below = SIZE + 2 * GAP if _ticks(plot, "x") or wide else 0
    return Edges(min(frame.w * 0.4, RIM + GAP + max(labels, default=0)), top + SIZE // 2, RIM + GAP, RIM + below)


def _ticks(plot: Plot, axis: str) -> list[tuple[str, float]]:
    """(label, place) along an axis: numbers where it measures, the names of the outermost groups where it does not."""
    scale = plot.placed.get(axis) or plot.sized.get(axis)
    return scale.ticks() if scale else _names(plot, axis)


def _names(plot: Plot, axis: str) -> list[tuple[str, float]]:
    for chart in plot.charts:
        for operator in chart.operators:
            if operator.kind in ("spread", "stack") and operator.options.get("dir", "x") == axis:
                parts = groups(chart.rows, operator.options.get("by"))
                gap = operator.options.get("spacing", default_gap(operator))
                size = (plot.box.along(axis) - gap * (len(parts) - 1)) / len(parts)
                named = operator.options.get("by") is not None
                return [(str(part), i * (size + gap) + size / 2) for i, part in enumerate(parts)] if named else []
    return []


def _axes(plot: Plot, left, top, frame: Frame, theme) -> list[Node]:
    if not frame.axes or frame.coord == "polar":
        return []
    w, h = plot.box.w, plot.box.h
    nodes = []
    measured_y = "y" in plot.placed or "y" in plot.sized
    for label, at in _ticks(plot, "y"):
        word, y = text(label, SIZE, theme.muted), top + (h - at if measured_y else at)
        if measured_y:
            nodes.append(place(left, y - 0.75, rect(w, 1.5, theme.rule)))
        nodes.append(place(left - GAP - word.w, y - word.h / 2, word))
    measured_x = "x" in plot.placed or "x" in plot.sized
    if measured_x and isinstance(plot.placed.get("x") or plot.sized.get("x"), Linear):
        nodes += [place(left + at - 0.75, top, rect(1.5, h, theme.rule)) for _, at in _ticks(plot, "x")]
    return nodes + _below(_ticks(plot, "x"), left, top + h + GAP, w, theme)


def _below(ticks, left, y, w, theme) -> list[Node]:
    """Labels under the plot; where they would touch, only every second, third, ... is written."""
    words = [text(label, SIZE, theme.muted) for label, _ in ticks]
    widest = max((word.w for word in words), default=0)
    every = max(1, -(-int((widest + 14) * len(words)) // max(1, int(w))))
    return [place(left + at - word.w / 2, y, word)
            for i, (word, (_, at)) in enumerate(zip(words, ticks, strict=True)) if i % every == 0]


def _title(frame: Frame, theme: Theme) -> list[Node]:
    return [place(RIM, RIM - 8, text(frame.title, TITLE, theme.ink, bold=True))] if frame.title else []


def _legend(entries, frame: Frame, theme) -> list[Node]:
    nodes, at = [], float(RIM)
    y = RIM + (TITLE + 14 if frame.title else 0)
    for name, colour in entries:
        word = text(name, SIZE, theme.ink)
        if at + 30 + word.w > frame.w - RIM - 24:
            return [*nodes, place(at, y, text("...", SIZE, theme.ink))]
        nodes += [place(at, y + word.h / 2 - 8, rect(20, 16, colour, 3)), place(at + 30, y, word)]
        at += 30 + word.w + 28
    return nodes


