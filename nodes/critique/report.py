"""The critique in words (Markdown) and in JSON."""
from typing import NamedTuple

from .explain import Evidence
from .reference import Reference
from .rubric import READINGS
from .score import Critique, Verdict

STRONGEST = 3


class Study(NamedTuple):
    """One picture: its critique, its measures at its own size, what the heat map shows, and its two sizes."""
    critique: Critique
    native: dict[str, float]
    evidence: Evidence
    size: tuple[int, int]
    measured_size: tuple[int, int]


def data(study: Study) -> dict:
    """The study as plain values, the measures by the column names of the published tables."""
    critique = study.critique
    return {
        "score": critique.score,
        "baseline": critique.baseline,
        "size": list(study.size),
        "measured_size": list(study.measured_size),
        "measures": critique.measures,
        "native": study.native,
        "percentiles": critique.percentiles,
        "typicalities": critique.typicalities,
        "criteria": {v.criterion.name: {"id": v.criterion.id, "typicality": v.typicality, "weight": v.weight}
                     for v in critique.verdicts},
        "contributions": {v.criterion.name: v.contribution for v in critique.verdicts},
        "heatmap": study.evidence.column,
    }


def summary(scores: list[float], reference: Reference) -> str:
    """The first lines: what the score is, how sure it is, and what it is not."""
    if len(scores) == 1:
        lead = f"**Score {scores[0]:.1f} of 100** (95 % band {_band(scores[0], reference)})"
    else:
        lead = (f"**Score {sum(scores) / len(scores):.1f} of 100**, the mean of {len(scores)} pictures: "
                + ", ".join(f"{score:.1f}" for score in scores) + f" (95 % band of each ±{reference.band:.1f})")
    return (f"{lead}\n\nThe score is a position in a tradition: the share of {reference.count:,} Western paintings "
            "that are less typical of their kind than this picture, by what was measured in the pixels. It is not "
            "beauty, quality or skill.")


def write(studies: list[Study], reference: Reference) -> str:
    """The whole report in Markdown."""
    sections = [summary([study.critique.score for study in studies], reference)]
    for number, study in enumerate(studies, 1):
        title = [] if len(studies) == 1 else [f"## Picture {number}: {study.critique.score:.1f}"]
        sections += [*title, reasons(study.critique), table(study.critique), heat_note(study.evidence),
                     size_note(study)]
    return "\n\n".join([*sections, f"Reference: {reference.source}."])


def reasons(critique: Critique) -> str:
    """The criteria that move the score most, in words, each with its most telling measure."""
    strongest = sorted(critique.verdicts, key=lambda v: -abs(v.contribution))[:STRONGEST]
    lines = [f"{number}. {_reason(verdict, critique)}" for number, verdict in enumerate(strongest, 1)]
    return "\n".join(["### Strongest reasons", "", *lines])


def table(critique: Critique) -> str:
    """Every criterion and its measures. The contributions sum to the score minus the baseline."""
    rows = ["### Criteria", "", "| criterion | measure | value | percentile | typicality | contribution |",
            "|---|---|---:|---:|---:|---:|"]
    for verdict in critique.verdicts:
        rows.append(f"| **{verdict.criterion.name}** | | | | {verdict.typicality:.0f} | {verdict.contribution:+.1f} |")
        rows += [f"| | {column} | {critique.measures[column]:.4g} | {critique.percentiles[column]:.0f} "
                 f"| {critique.typicalities[column]:.0f} | |" for column in verdict.criterion.columns]
    total = critique.score - critique.baseline
    return "\n".join([*rows, f"| sum | | | | | {total:+.1f} |", "",
                      "Percentile: the share of the paintings with a lower value. Typicality: 100 at their median, 0 "
                      f"at their ends. Contribution: points above or below {critique.baseline:.1f}, the score of a "
                      "picture of average typicality in everything."])


def heat_note(found: Evidence) -> str:
    """What the heat map shows, and why not something else."""
    note = (f"Heat map: {found.column} ({READINGS[found.column].name}), the most unusual measure that is a sum over "
            "places. Brightness is how much each part of the picture adds to it.")
    if found.most_unusual != found.column:
        note += f" {found.most_unusual} is more unusual still, but it belongs to the picture as a whole."
    return note


def size_note(study: Study) -> str:
    """At which size the picture was measured."""
    note = "Measured at {} x {} pixels".format(*study.measured_size)
    if max(study.size) < max(study.measured_size):
        return note + (", enlarged from {} x {}: line and texture then describe the enlargement as well."
                       .format(*study.size))
    return note + "."


def _reason(verdict: Verdict, critique: Critique) -> str:
    gain = verdict.contribution >= 0
    column = (max if gain else min)(verdict.criterion.columns, key=critique.typicalities.get)
    reading, position = READINGS[column], critique.percentiles[column]
    verb = "adds" if gain else "takes"
    value = f"{reading.name} ({column} {critique.measures[column]:.4g})"
    if gain:
        where = f"is close to the median of the paintings (percentile {position:.0f})"
    elif position >= 50:
        where = f"is higher than in {position:.0f} % of the paintings: {reading.much}"
    else:
        where = f"is lower than in {100 - position:.0f} % of the paintings: {reading.little}"
    return f"**{verdict.criterion.name}** {verb} {abs(verdict.contribution):.1f} points: {value} {where}."


def _band(score: float, reference: Reference) -> str:
    return f"{max(0, score - reference.band):.1f} to {min(100, score + reference.band):.1f}"
