"""Marks that were given a name: where they came to lie, and what is drawn through and around them."""
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..drawing import scene
from ..drawing.scene import Node, place
from .fill_colours import Fills
from .grammar import Mark


class Marked(NamedTuple):
    """A named mark on the paper, in pixels, and the rows it stands for."""
    x: float
    y: float
    w: float
    h: float
    rows: Sequence[Mapping]

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.w / 2, self.y + self.h / 2


def tagged(node: Node, tag: str, rows) -> Node:
    return node._replace(look={**node.look, "tag": tag, "rows": rows}) if tag else node


def tagged_marks(node: Node, tag: str, x: float = 0.0, y: float = 0.0) -> Iterator[Marked]:
    """Every mark of that name, in the order in which they were laid out."""
    x, y = x + node.x, y + node.y
    if node.look.get("tag") == tag:
        yield Marked(x, y, node.w, node.h, node.look["rows"])
    for child in node.children:
        yield from tagged_marks(child, tag, x, y)


def region(box: tuple[float, float, float, float], padding: float, mark: Mark, fills: Fills, rows) -> Node:
    """The rounded rectangle around a box (left, top, right, bottom)."""
    left, top, right, bottom = box
    fill = fills.of(mark.options["fill"], rows, fills.theme.band) if "fill" in mark.options else None
    stroke = fills.stroke(mark, rows) or (None if fill else fills.theme.muted)
    w, h = (max(0.0, side + 2 * padding) for side in (right - left, bottom - top))
    around = scene.rect(w, h, fill, max(0, min(10, padding * 2)), stroke)
    return place(left - padding, top - padding, around)
