"""Curves over steps, such as the loss of a training."""
from ..extents import groups
from ..frame import Frame, draw
from ..grammar import blank, chart, layer, line, scatter, select_all
from ..scene import Node
from ..theme import Theme

STEP = "step"


def loss(rows, frame: Frame, theme: Theme, value: str, by: str | None = None) -> Node:
    """The rows in order, the first at step 1; one curve for each value of column `by`."""
    named = frame._replace(title=frame.title or value)
    curves = groups(rows, by).values() if by else [rows]
    points = [{STEP: step, value: row[value], **({by: str(row[by])} if by else {})}
              for curve in curves for step, row in enumerate(curve, 1)]
    drawn = line(stroke=by, stroke_width=3) if by else line(stroke_width=3)
    return draw(layer([chart(points).flow(scatter(x=STEP, y=value)).mark(blank().name("points")),
                       chart(select_all("points")).mark(drawn)]), named, theme)
