"""Curves over steps, such as the loss of a training."""
from ..extents import groups
from ..frame import Frame
from ..lines import line_chart
from ..scene import Node
from ..theme import Theme


def loss(rows, frame: Frame, theme: Theme, value: str, by: str | None = None) -> Node:
    """The rows in order, the first at step 1; one curve for each value of column `by`."""
    curves = {str(name): [row[value] for row in part] for name, part in groups(rows, by).items()} if by else {
        value: [row[value] for row in rows]}
    return line_chart(curves, frame.title or value, "step", value, theme, frame.w, frame.h)
