"""From one picture of an IMAGE to everything the critique says and shows about it."""
from torch import Tensor

from ..charts.draw import render
from ..charts.profile import Row, Titles, profile
from ..charts.theme import LIGHT
from . import explain
from .measures import measure
from .picture import Picture
from .reference import Reference
from .report import Study
from .score import Critique, judge

CANONICAL = 1024  # the longer side at which the paintings of the published table were measured


def study(image: Tensor, reference: Reference) -> tuple[Study, Tensor, Tensor]:
    """IMAGE of one picture [1, H, W, C] -> (study, chart IMAGE, heat map IMAGE).

    Measured in float64 on the CPU, so that a picture has the same numbers on every machine. Raises ValueError with one
    sentence where there is nothing to measure.
    """
    own = Picture.from_images(image.cpu())
    canonical = own.at_longer_side(CANONICAL)
    measures = _numbers(canonical)
    native = measures if canonical is own else _numbers(own)
    critique = judge(measures, reference)
    found = explain.evidence(critique)
    done = Study(critique, native, found, own.size, canonical.size)
    heatmap = render(explain.heatmap(canonical, found.column), LIGHT.paper)
    return done, render(chart(critique, reference), LIGHT.paper), heatmap


def chart(critique: Critique, reference: Reference):
    """The scene of the chart: each criterion's measures among the paintings, and its points in the score."""
    rows = [Row(verdict.criterion.name, [critique.percentiles[column] for column in verdict.criterion.columns],
                verdict.contribution) for verdict in critique.verdicts]
    return profile(rows, Titles(
        big=f"{critique.score:.0f}",
        title="Art critique",
        subtitle=f"position among {reference.count:,} Western paintings, ±{reference.band:.1f}",
        track="% of the paintings that measure lower",
        points="points in the score",
        foot=f"Bands: middle 50 % and 90 % of the paintings. Points count from {critique.baseline:.1f}. Not beauty.",
    ), LIGHT)


def _numbers(picture: Picture) -> dict[str, float]:
    return {column: value.item() for column, value in measure(picture).items()}
