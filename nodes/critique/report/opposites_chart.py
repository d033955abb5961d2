"""Where a picture stands between pairs of poles, in words and as a chart: beside a score, or without one."""
from ...charts.chart_types.opposites import Pair, opposites
from ...charts.drawing.theme import LIGHT
from ..explain.phrases import called, digits
from ..reference.distributions import Reference
from ..score.judge import Critique


def section(critique: Critique, band: float) -> list[str]:
    """The pairs in Markdown, if the rubric has any that were measured; `band` is that of a percentile."""
    placed = [position for position in critique.positions if position.place is not None]
    if not placed:
        return []
    rows = [f"| {p.criterion.name} | {p.criterion.low} | {p.place:+.2f} | {p.criterion.high} |" for p in placed]
    counts = "" if critique.positions_only else ", and none of this is in the score"
    return ["\n".join(["### Positions", "", "Between two poles, -1 to 1; 0 is the middle of the tradition, and a place "
                       f"may be off by {band / 50:.2f}. Neither pole is better{counts}.", "",
                       "| | -1 | | 1 |", "|---|---|---:|---|", *rows])]


def measures(critique: Critique) -> str:
    """The columns that speak for each pair, and towards which pole much of them points."""
    rows = ["### Measures", "", "| pair | measure | value | percentile | much of it means |", "|---|---|---:|---:|---|"]
    for criterion in (position.criterion for position in critique.positions):
        rows += [f"| {criterion.name} | {called(signal.column)} | {digits(critique.measures[signal.column])} | "
                 f"{critique.percentiles[signal.column]:.0f} | "
                 f"{criterion.high if signal.direction > 0 else criterion.low} |"
                 for signal in criterion.signals if signal.column in critique.percentiles]
    return "\n".join(rows)


def chart(critique: Critique, reference: Reference, tradition: str):
    """The scene of the pairs; `tradition` says what the picture is held against."""
    pairs = [Pair(p.criterion.name, p.criterion.low, p.criterion.high, p.place) for p in critique.positions]
    return opposites(pairs, (f"Positions {critique.rubric.title}", f"among {tradition}; bands: 95 %",
                         "0 is the middle of them. Neither pole is better, so there is no score."),
                 reference.band / 50, LIGHT)
