"""Bends a flat scene into a circle: across becomes the angle, clockwise from the top, and up becomes the radius."""
import math

from ..drawing import scene
from ..drawing.scene import Node, place

STEP = math.radians(2)


def bend(flat: Node) -> Node:
    """The scene on a disc as wide as the shorter side of its box. Words and pictures move and stay upright."""
    size = min(flat.w, flat.h)
    return scene.layer([_bent(node, x, y, flat, size / 2) for node, x, y in _marks(flat, 0.0, 0.0)], size, size)


def point(x: float, y: float, flat: Node, radius: float) -> tuple[float, float]:
    """Where a point of the flat scene comes to lie on the disc."""
    angle, r = 2 * math.pi * x / flat.w, radius * (1 - y / flat.h)
    return radius + r * math.sin(angle), radius - r * math.cos(angle)


def _marks(node: Node, x: float, y: float):
    x, y = x + node.x, y + node.y
    if node.kind != "layer":
        yield node, x, y
    for child in node.children:
        yield from _marks(child, x, y)


def _bent(node: Node, x, y, flat, radius) -> Node:
    if node.kind == "rect":
        return scene.polygon(_sector(node, x, y, flat, radius), node.look["fill"], node.look["stroke"])
    if node.kind in ("line", "polygon"):
        points = tuple(point(x + px, y + py, flat, radius) for px, py in node.look["points"])
        return node._replace(look={**node.look, "points": points}, x=0.0, y=0.0)
    cx, cy = point(x + node.w / 2, y + node.h / 2, flat, radius)
    return place(cx - node.w / 2, cy - node.h / 2, node)


def _sector(node, x, y, flat, radius):
    """The outline of a rectangle: out along the outer arc, back along the inner one."""
    steps = max(1, math.ceil(2 * math.pi * node.w / flat.w / STEP))
    across = [x + node.w * i / steps for i in range(steps + 1)]
    outer = [point(at, y, flat, radius) for at in across]
    return outer + [point(at, y + node.h, flat, radius) for at in reversed(across)]
