"""Marks arranged without data: `spread`, `stack`, `layer` and `enclose` of marks, and lines between named ones."""
from ..drawing import scene
from ..drawing.scene import Node, place
from ..drawing.theme import Theme
from .annotations import region, tagged, tagged_marks
from .fill_colours import Fills
from .grammar import Chart, Mark
from .layout import DOT, FONT, words


def compose(mark: Mark, theme: Theme) -> Node:
    """The scene of a tree of marks in their own sizes. Raises ValueError for a missing size or an unknown name."""
    node = _node(mark, Fills([], theme), theme)
    lines = [line for child in _lines(mark) for line in _connect(child, node, theme)]
    return scene.layer([*lines, node], node.w, node.h) if lines else node


def _node(mark: Mark | Chart, fills: Fills, theme: Theme) -> Node:
    if isinstance(mark, Chart):
        raise ValueError("chart: expected marks among marks, got a chart; give it a frame of its own")
    children = [_node(child, fills, theme) for child in mark.children or () if child.kind not in ("line", "ref")]
    return tagged(_MAKERS[mark.kind](mark, children, fills, theme), mark.tag, ())


def _rect(mark, _, fills, theme):
    w, h = (_size(mark, side) for side in ("w", "h"))
    return scene.rect(w, h, fills(mark, ()), mark.options.get("rx", 0), fills.stroke(mark, ()))


def _size(mark, side) -> float:
    size = mark.options.get(side)
    if not isinstance(size, (int, float)):
        raise ValueError(f"{mark.kind}: {side} expected a number of pixels outside a chart, got {size!r}")
    return size


def _circle(mark, _, fills, theme):
    return scene.circle(mark.options.get("r", DOT), fills(mark, ()), fills.stroke(mark, ()))


def _text(mark, _, fills, theme):
    return scene.text(words(mark.options["text"]), mark.options.get("font_size", FONT), fills(mark, (), theme.ink))


def _blank(mark, _, fills, theme):
    return scene.layer([], mark.options.get("w", 0), mark.options.get("h", 0))


def _spread(mark, children, fills, theme):
    axis, gap = mark.options.get("dir", "x"), mark.options.get("spacing", 8 if mark.kind == "spread" else 0)
    alignment = mark.options.get("alignment", "start")
    if axis == "y" or alignment == "middle":
        return scene.spread(children, axis, gap, alignment)
    floor = {"start": "end", "end": "start"}[alignment]  # marks side by side stand on a common floor
    return scene.spread(children, axis, gap, floor)


def _layer(mark, children, fills, theme):
    return scene.layer(children)


def _enclose(mark, children, fills, theme):
    padding, inner = mark.options.get("padding", 6), scene.layer(children)
    around = region((0, 0, inner.w, inner.h), padding, mark, fills, ())
    return scene.layer([place(0, 0, around), place(padding, padding, inner)], around.w, around.h)


_MAKERS = {"rect": _rect, "circle": _circle, "text": _text, "blank": _blank, "spread": _spread, "stack": _spread,
           "layer": _layer, "enclose": _enclose}


def _lines(mark: Mark):
    for child in mark.children or ():
        if child.kind == "line":
            yield child
        else:
            yield from _lines(child)


def _connect(line: Mark, node: Node, theme: Theme) -> list[Node]:
    points = []
    for target in line.children or ():
        found = list(tagged_marks(node, target.options.get("selection", "")))
        if not found:
            raise ValueError(f"line: there is no mark named {target.options.get('selection')!r} to connect")
        points.append(found[0].centre)
    fills = Fills([], theme)
    stroke = fills.of(line.options.get("stroke"), (), theme.muted)
    return [scene.line(points, stroke, line.options.get("stroke_width", 3))]
