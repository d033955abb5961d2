"""Lays an expression of the grammar out on paper: from rows and channels to a scene of sizes and places.

Data grow to the right and upwards, as on any chart; groups spread along y read from the top, as any list.
"""
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from statistics import mean
from typing import NamedTuple

from ..drawing import scene
from ..drawing.scene import Node, place
from ..drawing.theme import Theme
from .annotations import Marked, region, tagged, tagged_marks
from .fill_colours import Fills
from .grammar import LARGEST, Chart, Mark, Operator, Select
from .scales import (
    SIDES,
    Linear,
    Named,
    check_columns,
    extent,
    gap_of,
    groups,
    is_column,
    lengths,
    places,
    rooms,
    total,
    total_gap,
)

DOT, FONT = 7.0, 20.0


class Box(NamedTuple):
    """Room in pixels; `filled` are the axes on which a stack has already sized it to the data."""
    w: float
    h: float
    filled: frozenset = frozenset()

    def along(self, axis: str) -> float:
        return self.w if axis == "x" else self.h

    def cut(self, axis: str, length: float, filled: bool) -> "Box":
        sides = {"w": self.w, "h": self.h, SIDES[axis]: length}
        return Box(**sides, filled=self.filled | {axis} if filled else self.filled - {axis})


class Plot:
    """The charts of one picture, which share scales and colours. Raises ValueError for what cannot be drawn."""

    def __init__(self, charts: Sequence[Chart], w: float, h: float, theme: Theme):
        self.charts = [c for c in charts if not isinstance(c.rows, Select)]
        self.connections = [c for c in charts if isinstance(c.rows, Select)]
        self.box, self.theme = Box(w, h), theme
        for number, chart in enumerate(charts_and_sources(self)):
            check_columns(chart, connects=number >= len(self.charts))

    @cached_property
    def fills(self) -> Fills:
        return Fills([(chart.rows, chart.leaf.options) for chart in charts_and_sources(self)], self.theme)

    @cached_property
    def sized(self) -> dict[str, Linear]:
        """The scale of lengths on each axis on which a length is data."""
        found = {axis: [e for c in self.charts if (e := extent(c.operators, c.leaf, c.rows, axis))] for axis in SIDES}
        return {axis: lengths(min(low for low, _ in ends), max(high for _, high in ends), self.room(axis))
                for axis, ends in found.items() if ends}

    @cached_property
    def placed(self) -> dict[str, Linear | Named]:
        """The scale of places on each axis along which rows are scattered."""
        scales = {}
        for axis in SIDES:
            values = [row[o.options[axis]] for c in self.charts for o in c.operators
                      if o.kind == "scatter" and axis in o.options for row in c.rows]
            if values:
                scales[axis] = places(values, self.box.along(axis))
        return scales

    def room(self, axis: str) -> float:
        gaps = max((total_gap(c.operators, c.rows, axis) for c in self.charts), default=0)
        return max(1.0, self.box.along(axis) - gaps)

    def scene(self) -> Node:
        """Everything drawn, then what connects it."""
        drawn = scene.layer([self.arrange(c.operators, c.leaf, c.rows, self.box) for c in self.charts],
                            self.box.w, self.box.h)
        lines = list(chain.from_iterable(self.connect(c, drawn) for c in self.connections))
        return scene.layer([*lines, drawn] if lines else [drawn], self.box.w, self.box.h)

    def arrange(self, operators, leaf: Mark, rows, box: Box) -> Node:
        if not operators:
            return self.mark(leaf, rows, box)
        operator, rest = operators[0], operators[1:]
        parts = groups(rows, operator.options.get("by"))
        if operator.kind == "scatter":
            return self.scattered(operator, rest, leaf, parts, box)
        if operator.kind == "group":
            return scene.layer([self.arrange(rest, leaf, part, box) for part in parts.values()], box.w, box.h)
        return self.sequence(operator, rest, leaf, list(parts.values()), box)

    def sequence(self, operator: Operator, rest, leaf, parts, box: Box) -> Node:
        """Parts one after another. A stack of positive and negative lengths grows to both sides of zero."""
        axis, gap = operator.options.get("dir", "x"), gap_of(operator)
        ends = [extent(rest, leaf, part, axis) for part in parts]
        sizes = ([sum(map(abs, e)) * self.sized[axis].per_unit for e in ends] if all(ends)
                 else rooms(operator, rest, parts, axis, box.along(axis)))
        starts = self.starts(axis, sizes, ends, gap, box)
        children = []
        for part, size, start, end in zip(parts, sizes, starts, ends, strict=True):
            child = self.arrange(rest, leaf, part, box.cut(axis, size, bool(end)))
            children.append(place(start, 0, child) if axis == "x" else place(0, start, child))
        return scene.layer(children, box.w, box.h)

    def starts(self, axis, sizes, ends, gap, box: Box) -> list[float]:
        """Where each part begins, from the left or from the top."""
        if axis == "y" and not all(ends) or axis == "x" and axis in box.filled or not any(ends):
            return running(sizes, gap)
        zero = 0.0 if axis in box.filled else self.sized[axis](0.0)
        up, down, starts = zero, zero, []
        for size, (low, high) in zip(sizes, ends, strict=True):
            if high >= -low or axis in box.filled:
                starts.append(up)
                up += size + gap
            else:
                down -= size
                starts.append(down)
                down -= gap
        if axis == "x":
            return starts
        return [box.h - start - size for start, size in zip(starts, sizes, strict=True)]

    def scattered(self, operator: Operator, rest, leaf, parts, box: Box) -> Node:
        children = []
        for part in parts.values():
            at = {axis: self.position(operator, axis, part) for axis in SIDES}
            child = self.arrange(rest, leaf, part, Box(0, 0))
            children.append(place(at["x"] - child.w / 2, box.h - at["y"] - child.h / 2, child))
        return scene.layer(children, box.w, box.h)

    def position(self, operator: Operator, axis: str, part) -> float:
        if axis not in operator.options:
            return self.box.along(axis) / 2
        values = [row[operator.options[axis]] for row in part]
        scale = self.placed[axis]
        return scale(values[0]) if isinstance(scale, Named) else scale(mean(values))

    def mark(self, mark: Mark, rows, box: Box) -> Node:
        if mark.kind == "rect":
            node = self.rect(mark, rows, box)
        elif mark.kind == "circle":
            r = self.pixels(mark, "r", rows, DOT)
            dot = scene.circle(r, self.fills(mark, rows), self.fills.stroke(mark, rows))
            node = centred(dot, box)
        elif mark.kind == "text":
            content = mark.options.get("text", "")
            content = rows[0].get(content, content) if rows else content
            size = mark.options.get("font_size", FONT)
            node = centred(scene.text(words(content), size, self.fills(mark, rows, self.theme.ink)), box)
        elif mark.kind == "blank":
            node = centred(scene.layer([], *(self.pixels(mark, side, rows, 0) for side in ("w", "h"))), box)
        else:
            raise ValueError(f"spec: {mark.kind} draws what was named before; begin it with select(name)")
        return tagged(node, mark.tag, rows)

    def rect(self, mark: Mark, rows, box: Box) -> Node:
        x, w = self.side(mark, rows, box, "x")
        y, h = self.side(mark, rows, box, "y")
        fill, stroke = self.fills(mark, rows), self.fills.stroke(mark, rows)
        node = scene.rect(w, h, fill, mark.options.get("rx", 0), stroke)
        return scene.layer([place(x, box.h - y - h, node)], box.w, box.h)

    def side(self, mark, rows, box: Box, axis: str) -> tuple[float, float]:
        """(start, length) of a rectangle on one axis, from the left or the bottom of its box."""
        channel = mark.options.get(SIDES[axis])
        if channel is None or axis in box.filled:
            return 0.0, box.along(axis)
        if not is_column(channel, rows):
            return ((box.along(axis) - channel) / 2 if axis == "x" else 0.0), float(channel)
        if axis not in self.sized:
            raise ValueError(f"spec: a rect that is scattered has no scale for {SIDES[axis]}={channel}; write a number "
                             "of pixels there")
        scale, value = self.sized[axis], total(rows, channel)
        return scale(min(0.0, value)), abs(value) * scale.per_unit

    def pixels(self, mark, channel, rows, default) -> float:
        """A length that no scale brings to the size of the paper."""
        value = mark.options.get(channel, default)
        found = float(total(rows, value)) if is_column(value, rows) else float(value)
        if not 0 <= found <= LARGEST:
            raise ValueError(f"data: column {value!r} is drawn in pixels and must lie between 0 and {LARGEST}, got "
                             f"{found:g}")
        return found

    def connect(self, chart: Chart, drawn: Node) -> list[Node]:
        """Lines through, or regions around, what was named: one for each value of what groups or colours it."""
        found = list(tagged_marks(drawn, chart.rows.tag))
        if not found:
            raise ValueError(f"spec: select({chart.rows.tag}) finds nothing of that name")
        rows = [row for mark in found for row in mark.rows]
        columns = [o.options["by"] for o in chart.operators if o.kind == "group" and "by" in o.options]
        columns += [c for c in (chart.leaf.options.get("stroke"), chart.leaf.options.get("fill")) if is_column(c, rows)]
        sets: dict[tuple, list[Marked]] = {}
        for mark in found:
            sets.setdefault(tuple(mark.rows[0].get(column) for column in columns), []).append(mark)
        draw = {"line": self.line, "enclose": self.region}.get(chart.leaf.kind)
        if not draw:
            raise ValueError(f"spec: select({chart.rows.tag}) expected line or enclose at its end, got "
                             f"{chart.leaf.kind}")
        return [draw(chart.leaf, marks) for marks in sets.values()]

    def line(self, mark: Mark, found: Sequence[Marked]) -> Node:
        points = [each.centre for each in found]
        stroke = self.fills.of(mark.options.get("stroke"), found[0].rows, self.theme.series[0])
        return scene.line(points if len(points) > 1 else points * 2, stroke, mark.options.get("stroke_width", 3))

    def region(self, mark: Mark, found: Sequence[Marked]) -> Node:
        box = (min(m.x for m in found), min(m.y for m in found),
               max(m.x + m.w for m in found), max(m.y + m.h for m in found))
        return region(box, mark.options.get("padding", 6), mark, self.fills, found[0].rows)


def charts_and_sources(plot: Plot) -> list[Chart]:
    """The charts with rows, then the connections with the rows of what they connect."""
    sources: dict[str, list] = {}
    for chart in plot.charts:
        sources.setdefault(chart.leaf.tag, []).extend(chart.rows)
    return [*plot.charts, *(c._replace(rows=sources.get(c.rows.tag, ())) for c in plot.connections)]


def running(sizes: Sequence[float], gap: float) -> list[float]:
    starts, at = [], 0.0
    for size in sizes:
        starts.append(at)
        at += size + gap
    return starts


def centred(node: Node, box: Box) -> Node:
    """The node in the middle of its box, or on its own where the box has no size."""
    if not box.w and not box.h:
        return node
    return scene.layer([place((box.w - node.w) / 2, (box.h - node.h) / 2, node)], box.w, box.h)


def words(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
