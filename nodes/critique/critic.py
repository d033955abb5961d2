"""From one picture of an IMAGE to everything the critique says and shows about it."""
from typing import NamedTuple

from torch import Tensor

from ..charts.draw import render
from ..charts.profile import Row, Titles, profile
from ..charts.theme import LIGHT
from . import explain
from .criteria import Rubric
from .heat import EXACT, HeatMap
from .measures import filter_bank, measure
from .picture import CANONICAL, Picture
from .reference import Reference
from .report import Study, tradition
from .score import Critique, judge


class Measured(NamedTuple):
    """A picture at its own size and at the size of the reference, and what was measured at the latter."""
    own: Picture
    canonical: Picture
    measures: dict[str, float]


def examine(image: Tensor) -> Measured:
    """IMAGE of one picture [1, H, W, C] -> its measures at 1024 pixels.

    Measured in float64 on the CPU, so that a picture has the same numbers on every machine. Raises ValueError with one
    sentence where there is nothing to measure.
    """
    own = Picture.from_images(image.cpu())
    canonical = own.at_longer_side(CANONICAL)
    return Measured(own, canonical, numbers(canonical))


def study(image: Tensor, reference: Reference, rubric: Rubric | None = None) -> tuple[Study, Tensor, Tensor]:
    """IMAGE of one picture [1, H, W, C] -> (study, chart IMAGE, heat map IMAGE)."""
    own, canonical, measures = examined = examine(image)
    native = measures if canonical is own else numbers(own)
    critique = judge(measures, reference, rubric)
    found = explain.evidence(critique)
    done = Study(critique, native, found, own.size, canonical.size)
    shown = HeatMap(found.column, EXACT[found.column](examined.canonical)[0], True)
    return done, render(chart(critique, reference), LIGHT.paper), render(explain.heatmap(canonical, shown), LIGHT.paper)


def chart(critique: Critique, reference: Reference):
    """The scene of the chart: each criterion's measures among the paintings, and its points in the score."""
    rows = [Row(verdict.criterion.name, [critique.percentiles[column] for column in verdict.criterion.columns
                                         if column in critique.percentiles], verdict.contribution)
            for verdict in critique.counted]
    return profile(rows, Titles(
        big=f"{critique.score:.0f}",
        title=f"Art critique {critique.rubric.title}" if critique.rubric.title.startswith("after") else "Art critique",
        subtitle=f"position among {tradition(reference)}, {critique.low:.0f} to {critique.high:.0f}",
        track="% of the paintings that measure lower",
        points="points in the score",
        foot=f"Bands: middle 50 % and 90 % of the paintings. Points count from {critique.baseline:.1f}. Not beauty.",
    ), LIGHT)


def numbers(picture: Picture) -> dict[str, float]:
    """Every measure of a picture by column name."""
    bank = filter_bank.find(filter_bank.folders())
    return {column: value.item() for column, value in measure(picture, bank).items()}
