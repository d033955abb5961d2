"""The critique in words (Markdown) and in JSON."""
from collections.abc import Sequence
from typing import NamedTuple

from . import poles
from .counterfactual import POINTS, Counterfactual, words
from .explain import Evidence, reasons
from .heat import EXACT
from .reference import Reference, paintings
from .score import Critique
from .words import called, digits


class Study(NamedTuple):
    """One picture: its critique, its measures at its own size, what the heat map shows, and its two sizes.

    `region` is the part of the picture that was judged (left, top, right, bottom), None for all of it; `changes` are
    the counterfactuals, None where nobody asked; `palette` its main colours.
    """
    critique: Critique
    native: dict[str, float]
    evidence: Evidence
    size: tuple[int, int]
    measured_size: tuple[int, int]
    region: tuple[int, int, int, int] | None = None
    changes: list[Counterfactual] | None = None
    palette: Sequence[dict] = ()


def data(study: Study) -> dict:
    """The study as plain values, the measures by the column names of the published tables; null is "not known"."""
    critique = study.critique
    return {
        **total(critique),
        "rubric": critique.rubric.title,
        "ranked": critique.ranked,
        "size": list(study.size),
        "measured_size": list(study.measured_size),
        "measures": critique.measures,
        "native": study.native,
        "percentiles": critique.percentiles,
        "typicalities": critique.typicalities,
        "criteria": {v.criterion.name: {"id": v.criterion.id, "points": v.points, "position": v.position,
                                        "typicality": v.typicality, "weight": v.weight,
                                        "reading": str(v.criterion.reading)} for v in critique.verdicts},
        "contributions": {v.criterion.name: v.contribution for v in critique.counted},
        "positions": {p.criterion.name: {"id": p.criterion.id, "place": p.place, "low": p.criterion.low,
                                         "high": p.criterion.high} for p in critique.positions},
        "reasons": reasons(critique),
        "heatmap": study.evidence.column,
        "palette": list(study.palette),
        "region": study.region and list(study.region),
        "counterfactuals": study.changes and [change._asdict() for change in study.changes],
    }


def total(critique: Critique) -> dict:
    """Score, band and baseline as plain values; null where there are positions only."""
    score, band, baseline = critique.score, [critique.low, critique.high], critique.baseline
    known = not critique.positions_only
    return {"score": score if known else None, "band": band if known else None, "baseline": baseline if known else None}


def summary(critiques: list[Critique], reference: Reference) -> str:
    """The first lines: what the score is, how sure it is, and what it is not."""
    scores = [critique.score for critique in critiques]
    if critiques[0].positions_only:
        return (f"**Positions only**, no score: {critiques[0].rubric.title} everything lies between two poles, of "
                f"which neither is better.\n\nA position is a place among {tradition(reference)}. It is not beauty, "
                "quality or skill. The score output says 0.")
    if len(scores) == 1:
        lead = f"**Score {scores[0]:.1f} of 100** (95 % band {_band(critiques[0])})"
    else:
        lead = (f"**Score {sum(scores) / len(scores):.1f} of 100**, the mean of {len(scores)} pictures: "
                + ", ".join(f"{critique.score:.1f} ({_band(critique)})" for critique in critiques) + ", 95 % bands")
    return f"{lead}\n\n{_meaning(critiques[0], reference)} It is not beauty, quality or skill."


def tradition(reference: Reference) -> str:
    """What pictures are held against, such as "1,629 Western paintings"."""
    kind = "Western paintings" if reference is paintings() else f"pictures of {reference.name}"
    return f"{reference.count:,} {kind}"


def write(studies: list[Study], reference: Reference) -> str:
    """The whole report in Markdown."""
    sections = [summary([study.critique for study in studies], reference)]
    sections += [reference.warning] if reference.warning else []
    for number, study in enumerate(studies, 1):
        title = [] if len(studies) == 1 else [_title(number, study.critique)]
        sections += [*title, *_counted(study), *poles.section(study.critique, reference.band),
                     *_not_counted(study), heat_note(study.evidence), size_note(study)]
    rubric = studies[0].critique.rubric
    sources = [f"Reference: {reference.source}."] + ([f"Rubric: {rubric.source}."] if rubric.source else [])
    return "\n\n".join([*sections, *sources])


def table(critique: Critique) -> str:
    """Every criterion and its measures. The contributions sum to the score minus the baseline."""
    rows = ["### Criteria", "", "| criterion | measure | value | percentile | points | contribution |",
            "|---|---|---:|---:|---:|---:|"]
    for verdict in critique.verdicts:
        criterion = verdict.criterion
        gives = f"{verdict.contribution:+.1f}" if verdict.weight else "not counted"
        asked = "" if criterion.reading.kind == "typical" else f" ({criterion.reading})"
        rows.append(f"| **{criterion.name}**{asked} | | | | {_whole(verdict.points)} | {gives} |")
        heard = {signal.column for signal in verdict.heard}
        rows += [f"| | {called(name)} | {digits(critique.measures[name])} | {_whole(critique.percentiles.get(name))} | "
                 f"| {'shown only' if verdict.weight and name not in heard else ''} |"
                 for name in criterion.columns if name in critique.measures]
    return "\n".join([*rows, f"| sum | | | | | {critique.score - critique.baseline:+.1f} |", "", _legend(critique)])


def what_if(changes: list[Counterfactual] | None) -> list[str]:
    """The edits that were tried and measured, if anyone asked."""
    if changes is None:
        return []
    lines = [f"- {words(change)}" for change in changes] or [
        f"No crop, value curve, saturation or turn of the hues raises the weakest criteria by {POINTS:.0f} points."]
    return ["\n".join(["### What would change it", "", f"The smallest edit of each kind that raises a criterion by "
                       f"{POINTS:.0f} points, done and measured again.", "", *lines])]


def heat_note(found: Evidence) -> str:
    """What the heat map shows, and why not something else."""
    what = f"Heat map: {called(found.column)}"
    if not found.exact:
        return (f"{what}, as asked. It belongs to the picture as a whole, so one cell of a grid after another was "
                "flattened to its mean colour and the picture measured again. Brightness is how far that moved it.")
    adds = "Brightness is how much each part of the picture adds to it."
    if found.asked:
        return f"{what}, as asked. {adds}"
    note = f"{what}, the most unusual measure that is a sum over places. {adds}"
    if found.most_unusual != found.column:
        note += (f" {called(found.most_unusual)} is more unusual still, but "
                 + ("nothing in the picture adds to it." if found.most_unusual in EXACT
                    else "it belongs to the picture as a whole."))
    return note


def size_note(study: Study) -> str:
    """At which size the picture was measured."""
    note = "Measured at {} x {} pixels".format(*study.measured_size)
    if study.region:
        note = "Judged: the part from ({}, {}) to ({}, {}) that the mask marks. ".format(*study.region) + note
    if max(study.size) < max(study.measured_size):
        return note + (", enlarged from {} x {}: line and texture then describe the enlargement as well."
                       .format(*study.size))
    return note + "."


def _meaning(critique: Critique, reference: Reference) -> str:
    if critique.ranked:
        return (f"The score is a position in a tradition: the share of {tradition(reference)} that are less typical of "
                "their kind than this picture, by what was measured in the pixels.")
    return (f"The score is a position in a tradition: the weighted mean of what the rubric ({critique.rubric.title}) "
            f"asks for, measured in the pixels and placed among {tradition(reference)}. Their average is "
            f"{critique.baseline:.1f}.")


def _legend(critique: Critique) -> str:
    average = ("a picture of average typicality in everything" if critique.ranked
               else "a picture as they are on average")
    return ("Percentile: the share of the pictures it is held against with a lower value. Points: 100 where the "
            "criterion is met in full; unless the table says otherwise it asks to be typical: 100 at the median, 0 at "
            f"the ends. Contribution: what the criterion adds to or takes from {critique.baseline:.1f}, the score of "
            f"{average}. Not counted and shown only: no figures say how it is spread over those pictures (it has no "
            "percentile), it changes when a picture is only resized, or its weight is 0.")


def _title(number: int, critique: Critique) -> str:
    return f"## Picture {number}" + ("" if critique.positions_only else f": {critique.score:.1f}")


def _counted(study: Study) -> list[str]:
    return [] if study.critique.positions_only else [_numbered(study.critique), table(study.critique)]


def _not_counted(study: Study) -> list[str]:
    if not study.critique.positions_only:
        return what_if(study.changes)
    asked = [] if study.changes is None else ["counterfactuals: nothing to raise, positions have no better side."]
    return [poles.measures(study.critique), *asked]


def _numbered(critique: Critique) -> str:
    lines = [f"{number}. {reason}" for number, reason in enumerate(reasons(critique), 1)]
    return "\n".join(["### Strongest reasons", "", *lines])


def _whole(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"


def _band(critique: Critique) -> str:
    return f"{critique.low:.1f} to {critique.high:.1f}"
