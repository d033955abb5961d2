"""A small language of graphics: marks that have a look, and operators that only arrange (after GoFish, MIT).

A scene is a tree of `Node`s measured in pixels. Marks: `rect`, `circle`, `text`, `line`, `polygon`, `image`. Operators:
`spread`, `stack`, `layer`, `place`. `draw.render` turns a tree into an IMAGE.
"""
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from .theme import Colour
from .typeface import own_face, runs

SCALE = 2  # a scene is drawn so many times as large, and then reduced


class Node(NamedTuple):
    """A mark or an arrangement of `children`, `w` x `h` pixels, at `x`, `y` inside its parent."""
    kind: str
    w: float
    h: float
    look: dict
    children: tuple["Node", ...] = ()
    x: float = 0.0
    y: float = 0.0


def rect(w: float, h: float, fill: Colour | None, radius: float = 0, stroke: Colour | None = None) -> Node:
    return Node("rect", w, h, {"fill": fill, "radius": radius, "stroke": stroke})


def circle(r: float, fill: Colour | None, stroke: Colour | None = None) -> Node:
    return Node("circle", 2 * r, 2 * r, {"fill": fill, "stroke": stroke})


def line(points: Sequence[tuple[float, float]], stroke: Colour, width: float = 2) -> Node:
    """A polyline; its box reaches from the origin to its furthest point."""
    return Node("line", max(x for x, _ in points), max(y for _, y in points),
                {"points": tuple(points), "stroke": stroke, "width": width})


def polygon(points: Sequence[tuple[float, float]], fill: Colour | None, stroke: Colour | None = None) -> Node:
    """A filled outline; its box reaches from the origin to its furthest point."""
    return Node("polygon", max(x for x, _ in points), max(y for _, y in points),
                {"points": tuple(points), "fill": fill, "stroke": stroke})


def text(content: str, size: float, fill: Colour, bold: bool = False) -> Node:
    """One line of text; its box is the advance of the line by the height of ascender and descender."""
    width = sum(run.face.getlength(run.letters) for run in runs(content, size * SCALE)) / SCALE
    return Node("text", width, sum(own_face(size * SCALE).getmetrics()) / SCALE,
                {"text": content, "size": size, "fill": fill, "bold": bold})


def fitted(content: str, size: float, fill: Colour, room: float, bold: bool = False) -> Node:
    """`text` of at most `room` pixels, cut with an ellipsis where it is longer."""
    whole = text(content, size, fill, bold)
    if whole.w <= room or not content:
        return whole

    def cut(length: int) -> Node:
        return text(content[:length].rstrip(" .") + "...", size, fill, bold)
    fits = bisect_right(range(1, len(content)), room, key=lambda length: cut(length).w)     # one by one takes seconds
    return cut(fits)


def image(pixels: Tensor) -> Node:
    """A picture [H, W, 3], 0..1, one pixel of it a pixel of the chart."""
    return Node("image", pixels.shape[1], pixels.shape[0], {"pixels": pixels})


def place(x: float, y: float, node: Node) -> Node:
    """The node at (x, y) of what it is laid into."""
    return node._replace(x=x, y=y)


def layer(children: Sequence[Node], w: float | None = None, h: float | None = None) -> Node:
    """Children on top of one another, each where it was placed; as large as needed unless told."""
    return Node("layer", w if w is not None else max(c.x + c.w for c in children),
                h if h is not None else max(c.y + c.h for c in children), {}, tuple(children))


def spread(children: Sequence[Node], direction: str, spacing: float, align: str = "start") -> Node:
    """Children one after another along "x" or "y", `spacing` apart; across it aligned "start", "middle" or "end"."""
    across = max(c.h if direction == "x" else c.w for c in children)
    share = {"start": 0, "middle": 0.5, "end": 1}[align]
    placed, at = [], 0.0
    for child in children:
        rest = share * (across - (child.h if direction == "x" else child.w))
        placed.append(place(*((at, rest) if direction == "x" else (rest, at)), child))
        at += (child.w if direction == "x" else child.h) + spacing
    return layer(placed)


def stack(children: Sequence[Node], direction: str) -> Node:
    """`spread` without spacing."""
    return spread(children, direction, 0)
