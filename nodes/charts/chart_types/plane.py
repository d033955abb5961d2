"""The plane of permutation entropy H and statistical complexity C (Sigaki, Perc & Ribeiro 2018, arXiv:1809.05760)."""
from functools import lru_cache

import numpy as np

from ..drawing.scene import Node
from ..drawing.theme import Theme
from ..grammar.frame import Frame, draw
from ..grammar.grammar import blank, chart, circle, layer, line, scatter, select_all

STATES = 24  # the orders of the four pixels of a 2 x 2 window
POINTS = 240


def plane(rows, frame: Frame, theme: Theme, entropy: str, complexity: str, by: str | None = None) -> Node:
    """Every row a dot between the least and the greatest complexity that its entropy allows."""
    dots = circle(r=8, stroke="paper", **({"fill": by} if by else {}))
    named = frame._replace(x="permutation entropy" if frame.x is None else frame.x,
                           y="statistical complexity" if frame.y is None else frame.y)
    at = scatter(x=entropy, y=complexity)
    edges = [[{entropy: h, complexity: c} for h, c in curve] for curve in bounds(STATES)]
    return draw(layer([
        *(chart(edge).flow(at).mark(blank().name(f"edge{i}")) for i, edge in enumerate(edges)),
        chart(rows).flow(at).mark(dots),
        *(chart(select_all(f"edge{i}")).mark(line(stroke="muted", stroke_width=2)) for i in range(len(edges))),
    ]), named, theme)


@lru_cache(4)
def bounds(states: int) -> tuple[tuple[tuple[float, float], ...], ...]:
    """((H, C), ...) of the least and of the greatest complexity (Martin, Plastino & Rosso 2006)."""
    least = [_entropy_complexity(np.r_[p, np.full(states - 1, (1 - p) / (states - 1))])
             for p in np.linspace(1 / states, 1, POINTS)]
    greatest = []
    for empty in range(states - 1):
        rest = states - empty - 1
        for p in np.linspace(0, 1 / (rest + 1), max(2, POINTS // states)):
            greatest.append(_entropy_complexity(np.r_[p, np.full(rest, (1 - p) / rest), np.zeros(empty)]))
    return tuple(sorted(least)), tuple(sorted(greatest))


def _entropy_complexity(p: np.ndarray) -> tuple[float, float]:
    n = len(p)
    mixed = _shannon((p + 1 / n) / 2) - _shannon(p) / 2 - np.log(n) / 2
    largest = -((n + 1) / n * np.log(n + 1) - 2 * np.log(2 * n) + np.log(n)) / 2
    h = _shannon(p) / np.log(n)
    return float(h), float(h * mixed / largest)


def _shannon(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())
