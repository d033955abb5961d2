"""A collection over years or seeds: every picture a dot, and a line through the medians."""
from statistics import median

from ..extents import groups
from ..frame import Frame, draw
from ..grammar import blank, chart, circle, layer, line, scatter, select_all
from ..scene import Node
from ..theme import Theme


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
