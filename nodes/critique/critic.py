"""From one picture of an IMAGE to everything the critique says and shows about it."""
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..charts.draw import render
from ..charts.profile import Row, Titles, profile
from ..charts.theme import LIGHT
from . import counterfactual, explain, poles, space
from .criteria import Criterion, Rubric
from .heat import HeatMap, exact, ground, heat_map, tiles
from .measures import filter_bank, measure
from .picture import CANONICAL, Picture
from .reference import Reference, paintings
from .report import Study, tradition
from .rubric import default
from .score import Critique, judge, needed
from .swatches import swatches


class Asked(NamedTuple):
    """What a picture is held against and by which rubric; `what_if` also searches for edits that would help.

    `heat` is the criterion whose heat map is wanted, None for the most unusual measure."""
    reference: Reference
    rubric: Rubric
    what_if: bool = False
    step: Callable[[], None] = lambda: None
    heat: Criterion | None = None


class Shown(NamedTuple):
    """A study and its pictures: chart and heat map IMAGEs; for the page the ground of its heat maps, the strip of them
    and its index."""
    study: Study
    chart: Tensor
    heatmap: Tensor
    ground: np.ndarray
    strip: np.ndarray
    tiles: dict[str, tuple[int, str]]


def standard() -> Asked:
    """The paintings and the default rubric."""
    return Asked(paintings(), default())


def examine(own: Picture, depth: Tensor | None = None) -> tuple[Picture, dict[str, float]]:
    """A picture at 1024 pixels, and what is measured there; `depth` is a map [h, w] of it, bright where it is near."""
    canonical = own.at_longer_side(CANONICAL)
    return canonical, numbers(canonical, depth)


def study(image: Tensor, asked: Asked, depth: Tensor | None = None, region=None) -> Shown:
    """IMAGE of one picture [1, H, W, C] -> its study and what shows it.

    Measured in float64 on the CPU, so that a picture has the same numbers on every machine. Raises ValueError with one
    sentence where there is nothing to measure.
    """
    own = Picture.from_images(image.cpu())
    canonical, measures = examine(own, depth)
    native = measures if canonical is own else numbers(own, depth)
    critique = judge(measures, asked.reference, asked.rubric, total=False)
    found, drawn = _evidence(canonical, critique, asked)
    changes = _changes(own, critique, asked) if asked.what_if else None
    done = Study(critique, native, found, own.size, canonical.size, region, changes, swatches(own))
    return Shown(done, render(chart(critique, asked.reference), LIGHT.paper),
                 render(explain.heatmap(canonical, drawn), LIGHT.paper), ground(canonical),
                 *tiles(canonical, [each.criterion for each in critique.verdicts or critique.positions],
                        {asked.heat.id: drawn} if asked.heat else {}))


def _evidence(picture: Picture, critique: Critique, asked: Asked) -> tuple[explain.Evidence, HeatMap]:
    """What the heat map shows, and the map."""
    found = explain.evidence(critique)
    if not asked.heat:
        return found, exact(picture, found.column)
    drawn = heat_map(picture, asked.heat, step=asked.step)
    return explain.Evidence(drawn.column, found.most_unusual, drawn.exact, True), drawn


def chart(critique: Critique, reference: Reference):
    """The scene of the chart: each criterion's measures among the paintings, and its points in the score.

    Of a rubric of nothing but positions, the places between their poles."""
    if critique.positions_only:
        return poles.chart(critique, reference, tradition(reference))
    rows = [Row(verdict.criterion.name, [critique.percentiles[signal.column] for signal in verdict.heard],
                verdict.contribution) for verdict in critique.counted]
    return profile(rows, Titles(
        big=f"{critique.score:.0f}",
        title=f"Art critique {critique.rubric.title}" if critique.rubric.title.startswith("after") else "Art critique",
        subtitle=f"position among {tradition(reference)}, 95 % band {critique.low:.0f} to {critique.high:.0f}",
        track="% of them that measure lower",
        points="points in the score",
        foot=f"Bands: middle 50 % and 90 % of them. Points count from {critique.baseline:.1f}. Not beauty.",
    ), LIGHT)


def judge_only(image: Tensor, reference: Reference, rubric: Rubric) -> Critique:
    """IMAGE of one picture [1, H, W, C] -> its critique, of which only the score and what counts in it are known.

    Measures no more columns than these need: for where many pictures are judged."""
    return judge(measured(image, needed(reference, rubric)), reference, rubric)


def measured(image: Tensor, columns: Collection[str]) -> dict[str, float]:
    """IMAGE of one picture [1, H, W, C] -> those of the columns that can be measured, at 1024 pixels."""
    return numbers(Picture.from_images(image.cpu()).at_longer_side(CANONICAL), columns=columns)


def numbers(picture: Picture, depth: Tensor | None = None, columns: Collection[str] | None = None) -> dict[str, float]:
    """Every measure of a picture by column name, or those among `columns`."""
    bank = filter_bank.find(filter_bank.folders())
    found = {column: value.item() for column, value in measure(picture, bank, columns).items()}
    if columns is not None and not {*space.BY_DEPTH, *space.BY_HEIGHT} & {*columns}:
        return found
    return {**found, **space.measure(picture, depth)}


def _changes(own, critique, asked):
    # A depth map does not follow a crop, so space keeps its numbers: nothing of it is ever counted.
    session = counterfactual.Session(own, critique, asked.reference, lambda picture: {**critique.measures,
                                     **numbers(picture)}, CANONICAL, asked.step)
    return counterfactual.counterfactuals(session)
