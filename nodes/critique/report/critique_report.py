"""The critique in words (Markdown) and in JSON."""
from collections.abc import Sequence
from typing import NamedTuple

from ..explain import picture_kind
from ..explain.counterfactuals import POINTS, Counterfactual, words
from ..explain.heat_maps import EXACT, LACKS
from ..explain.phrases import called, digits, named
from ..explain.reasons import Evidence, reasons
from ..reference.distributions import RESIZED, Reference
from ..score.judge import Critique
from . import opposites_chart, what_counts
from .critic_speech import speech


class CriticisedPicture(NamedTuple):
    """One picture: its critique, its measures at its own size, what the heat map shows, and its two sizes.

    `region` is the part of the picture that was judged (left, top, right, bottom), None for all of it; `changes` are
    the counterfactuals, None where nobody asked; `palette` its main colours; `places` where a column lies, in words.
    """
    critique: Critique
    native: dict[str, float]
    evidence: Evidence
    size: tuple[int, int]
    measured_size: tuple[int, int]
    region: tuple[int, int, int, int] | None = None
    changes: list[Counterfactual] | None = None
    palette: Sequence[dict] = ()
    places: dict[str, str] = {}


def data(picture: CriticisedPicture, reference: Reference) -> dict:
    """A critique as plain values, the measures by the column names of the published tables; null is "not known"."""
    critique, at_size = picture.critique, reference.at_size(max(picture.size))
    return {
        **total(critique),
        "rubric": critique.rubric.title,
        "ranked": critique.ranked,
        "size": list(picture.size),
        "measured_size": list(picture.measured_size),
        "measures": critique.measures,
        "native": picture.native,
        "percentiles": critique.percentiles,
        "typicalities": critique.typicalities,
        "unsteady": [column for column in critique.percentiles if at_size.unsteady(column)],
        "criteria": {v.criterion.name: {"id": v.criterion.id, "points": v.points, "position": v.position,
                                        "typicality": v.typicality, "weight": v.weight,
                                        "reading": str(v.criterion.reading)} for v in critique.verdicts},
        "contributions": {v.criterion.name: v.contribution for v in critique.counted},
        "positions": {p.criterion.name: {"id": p.criterion.id, "place": p.place, "low": p.criterion.low,
                                         "high": p.criterion.high} for p in critique.positions},
        "reasons": reasons(critique),
        "heatmap": picture.evidence.column,
        "palette": list(picture.palette),
        "region": picture.region and list(picture.region),
        "counterfactuals": picture.changes and [change._asdict() for change in picture.changes],
    }


def total(critique: Critique) -> dict:
    """Score, band and baseline as plain values; null where there are positions only."""
    score, band, baseline = critique.score, [critique.low, critique.high], critique.baseline
    known = not critique.positions_only
    return {"score": score if known else None, "band": band if known else None, "baseline": baseline if known else None}


def summary(critiques: list[Critique], reference: Reference) -> str:
    """The first lines: what kind of picture it is, what the score is, how sure it is, and what it is not."""
    kind = picture_kind.kinds(critiques[0].measures, reference, critiques[0]) if len(critiques) == 1 else []
    return "\n\n".join([*kind, _lead(critiques, reference)])


def _lead(critiques: list[Critique], reference: Reference) -> str:
    if critiques[0].positions_only:
        return (f"**Positions only**, no score: {critiques[0].rubric.title} everything lies between two poles, of "
                f"which neither is better.\n\nA position is a place among {tradition(reference)}. It is not beauty, "
                "quality or skill. The score output says 0.")
    scores = [critique.score for critique in critiques]
    if len(scores) == 1:
        lead = f"**Score {scores[0]:.1f} of 100** (95 % band {_band(critiques[0])})"
    else:
        lead = (f"**Score {sum(scores) / len(scores):.1f} of 100**, the mean of {len(scores)} pictures: "
                + ", ".join(f"{critique.score:.1f} ({_band(critique)})" for critique in critiques) + ", 95 % bands")
    return f"{lead}\n\n{_meaning(critiques[0], reference)} It is not beauty, quality or skill."


def tradition(reference: Reference) -> str:
    """What pictures are compared with, such as "1,629 Western paintings"."""
    return f"{reference.count:,} {'Western ' * reference.is_paintings}{reference.kind}"


def write(pictures: list[CriticisedPicture], reference: Reference, whole: bool = False) -> str:
    """The report in Markdown; of a critic's rubric the critic's words, and the tables only where it is the `whole`."""
    rubric = pictures[0].critique.rubric
    sections = [summary([picture.critique for picture in pictures], reference),
                *what_counts.notes(rubric, pictures, reference)]
    sections += [reference.warning] if reference.warning else []
    for number, picture in enumerate(pictures, 1):
        sections += [] if len(pictures) == 1 else [_title(number, picture.critique),
                                                   *picture_kind.kinds(picture.critique.measures, reference,
                                                                       picture.critique)]
        sections += _sections(picture, reference, whole)
    sources = [f"Reference: {reference.source}."] + ([f"Rubric: {rubric.source}."] if rubric.source else [])
    return "\n\n".join([*sections, *sources])


def _sections(picture: CriticisedPicture, reference: Reference, whole: bool) -> list[str]:
    """What is said of one picture."""
    spoken = [speech(picture.critique, picture.places)] if picture.critique.rubric.thesis else []
    tables = [*_counted(picture, reference), *opposites_chart.section(picture.critique, reference.band),
              *_not_counted(picture)]
    said = [*spoken, *tables] if whole or not spoken else [*spoken, *_edits(picture), IN_DATA]
    return [*said, heat_note(picture.evidence), size_note(picture, reference)]


def table(critique: Critique, estimated: Sequence[str] = ()) -> str:
    """Every criterion and its measures; the contributions sum to the score minus the baseline.

    The percentiles of `estimated` columns are marked, see `Reference.estimated`."""
    rows = ["### Criteria", "", "| criterion | measure | value | percentile | points | contribution |",
            "|---|---|---:|---:|---:|---:|"]
    for verdict in critique.verdicts:
        criterion = verdict.criterion
        gives = f"{verdict.contribution:+.1f}" if verdict.weight else "not counted"
        asked = "" if criterion.reading.kind == "typical" else f" ({criterion.reading})"
        rows.append(f"| **{criterion.name}**{asked} | | | | {_whole(verdict.points)} | {gives} |")
        used = {signal.column for signal in verdict.used}
        rows += [f"| | {called(name)} | {digits(critique.measures[name])} | {_percentile(critique, name, estimated)} | "
                 f"| {'shown only' if verdict.weight and name not in used else ''} |"
                 for name in criterion.columns if name in critique.measures]
    return "\n".join([*rows, f"| sum | | | | | {critique.score - critique.baseline:+.1f} |", "", _legend(critique)])


IN_DATA = "Every concept with its measures stands in the data output."


def what_if(changes: list[Counterfactual] | None) -> list[str]:
    """The edits that were tried and measured, if anyone asked."""
    if changes is None:
        return []
    lines = [f"- {words(change)}" for change in changes] or [
        f"No crop, value curve, saturation or turn of the hues was found that raises the weakest criteria that such "
        f"edits move by {POINTS:.0f} points."]
    return ["\n".join(["### What to try", "", "Of the two weakest criteria that such an edit can move: the smallest "
                       f"that raises it by {POINTS:.0f} points, done and measured again.", "", *lines])]


def heat_note(found: Evidence) -> str:
    """What the heat map shows, and why not something else."""
    what = f"Heat map: {called(found.column)}"
    if not found.exact:
        return (f"{what}, as asked. It belongs to the picture as a whole, so one cell of a grid after another was "
                "flattened to its mean colour and the picture measured again. Brightness is how far that moved it.")
    adds = ("Brightness is how far each place differs from the one that it is compared with."
            if found.column in LACKS else "Brightness is how much each part of the picture adds to it.")
    if found.asked:
        return f"{what}, as asked. {adds}"
    if found.first == found.column:
        return f"{what}, which the first reason rests on. {adds}"
    why = "nothing in the picture adds to it" if found.first in EXACT else "it belongs to the picture as a whole"
    return f"{what}. The first reason rests on {named(found.first)}, but {why}. {adds}"


def size_note(picture: CriticisedPicture, reference: Reference) -> str:
    """At which size the picture was measured."""
    note = "Measured at {} x {} pixels".format(*picture.measured_size)
    if picture.region:
        note = "Judged: the part from ({}, {}) to ({}, {}) that the mask marks. ".format(*picture.region) + note
    if max(picture.size) >= max(picture.measured_size):
        return note + "."
    note, part = note + ", enlarged from {} x {}".format(*picture.size), reference.part_of(max(picture.size))
    if part == 1:
        return f"{note}, as most pictures of {reference.name} were."
    counts = picture_kind.detail_counts(picture.critique, part)
    return f"{note}: what a small copy loses or sharpens ({', '.join(map(named, RESIZED))}) {counts}."


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
    return ("Percentile: how many of 100 pictures that it is compared with have a lower value; about: estimated from "
            "other measures of those pictures. Points: 100 where the criterion is met in full; unless the table says "
            "otherwise it asks to be typical: 100 at the median, 0 at the ends. Contribution: what the criterion adds "
            f"to or takes from {critique.baseline:.1f}, the score of {average}. Not counted and shown only: how it is "
            "spread over those pictures is not known or only estimated, it changes when a picture is only resized, or "
            "its weight is 0.")


def _title(number: int, critique: Critique) -> str:
    return f"## Picture {number}" + ("" if critique.positions_only else f": {critique.score:.1f}")


def _counted(picture: CriticisedPicture, reference: Reference) -> list[str]:
    if picture.critique.positions_only:
        return []
    return [_numbered(picture.critique), table(picture.critique, reference.estimated)]


def _not_counted(picture: CriticisedPicture) -> list[str]:
    measures = [opposites_chart.measures(picture.critique)] if picture.critique.positions_only else []
    return [*measures, *_edits(picture)]


def _edits(picture: CriticisedPicture) -> list[str]:
    if not picture.critique.positions_only:
        return what_if(picture.changes)
    return [] if picture.changes is None else ["counterfactuals: nothing to raise, positions have no better side."]


def _numbered(critique: Critique) -> str:
    lines = [f"{number}. {reason}" for number, reason in enumerate(reasons(critique), 1)]
    return "\n".join(["### Strongest reasons", "", *lines])


def _percentile(critique: Critique, column: str, estimated: Sequence[str]) -> str:
    place = _whole(critique.percentiles.get(column))
    return f"about {place}" if column in estimated else place


def _whole(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"


def _band(critique: Critique) -> str:
    return f"{critique.low:.1f} to {critique.high:.1f}"
