"""Curves: values over the steps of a training, and a collection over years or seeds with a line through medians."""
import math
from statistics import median

from ..drawing.scene import Node
from ..drawing.theme import Theme
from ..grammar.frame import Frame, draw
from ..grammar.grammar import blank, chart, circle, layer, line, scatter, select_all
from ..grammar.scales import groups

STEP = "step"


def loss(rows, frame: Frame, theme: Theme, value: str, by: str | None = None) -> Node:
    """The rows in order, each at the step that it names, or else the first at step 1; those without a value (None) left
    out; one curve for each value of column `by`."""
    named = frame._replace(title=frame.title or value)
    curves = groups(rows, by).values() if by else [rows]
    axis = next(name for name in (STEP, "row", "place") if name not in (value, by))
    own = axis == STEP and all(_is_step(row.get(STEP)) for row in rows)
    points = [{axis: row[STEP] if own else place, value: row[value], **({by: str(row[by])} if by else {})}
              for curve in curves for place, row in enumerate(curve, 1) if row[value] is not None]
    drawn = line(stroke=by, stroke_width=3) if by else line(stroke_width=3)
    return draw(layer([chart(points).flow(scatter(x=axis, y=value)).mark(blank().name("points")),
                       chart(select_all("points")).mark(drawn)]), named, theme)


def _is_step(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def timeline(rows, frame: Frame, theme: Theme, x: str, y: str, by: str | None = None) -> Node:
    """Numbers along x in their order, anything else by name as it comes."""
    middle = [{x: at, y: median(row[y] for row in part)} for at, part in groups(rows, x).items()]
    if all(isinstance(row[x], (int, float)) for row in rows):
        middle.sort(key=lambda row: row[x])
    dots = circle(r=8, stroke="paper", **({"fill": by} if by else {}))
    return draw(layer([
        chart(middle).flow(scatter(x=x, y=y)).mark(blank().name("medians")),
        chart(rows).flow(scatter(x=x, y=y)).mark(dots),
        chart(select_all("medians")).mark(line(stroke="muted", stroke_width=3)),
    ]), frame, theme)
