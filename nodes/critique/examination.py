"""From one picture of an IMAGE to everything the critique says and shows about it."""
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..charts.chart_types.profile import Row, Titles, profile
from ..charts.drawing.draw import render
from ..charts.drawing.theme import LIGHT
from .explain import counterfactuals, reasons
from .explain.heat_maps import HeatMap, exact, ground, heat_map, tiles
from .explain.phrases import SPOKEN_OF, phrase, upper
from .explain.places import where
from .measures import FILTERED, MEASURES, filter_bank, measure, pictorial_depth
from .picture.main_colours import swatches
from .picture.planes import CANONICAL, Picture
from .reference.distributions import LEARNED, OWN_SIDE, Reference, paintings
from .report import heat_map_picture, opposites_chart
from .report.before_after import before_after
from .report.critique_report import CriticisedPicture, tradition
from .rubric.criteria import Criterion, Rubric, Signal
from .rubric.default_rubric import default
from .score.judge import Critique, judge, needed


class CritiqueRequest(NamedTuple):
    """What a picture is held against and by which rubric; `what_if` also searches for edits that would help.

    `heat` is the criterion whose heat map is wanted, None for the first reason that has places. Without `drawn` there
    is no chart and no heat map, which take many megabytes."""
    reference: Reference
    rubric: Rubric
    what_if: bool = False
    step: Callable[[], None] = lambda: None
    heat: Criterion | None = None
    drawn: bool = True


class RenderedCritique(NamedTuple):
    """A critique and its pictures: chart and heat map IMAGEs; for the page the grey picture that heat maps are laid
    over, the strip of them and its index."""
    critique: CriticisedPicture
    chart: Tensor | None
    heatmap: Tensor | None
    ground: np.ndarray
    strip: np.ndarray
    tiles: dict[str, tuple[int, str]]
    before_after: Tensor | None = None


def default_request() -> CritiqueRequest:
    """The paintings and the default rubric."""
    return CritiqueRequest(paintings(), default())


def measure_picture(own: Picture, depth: Tensor | None = None) -> tuple[Picture, dict[str, float]]:
    """A picture at 1024 pixels, and what is measured there; `depth` is a map [h, w] of it, bright where it is near."""
    canonical = own.at_longer_side(CANONICAL)
    return canonical, {**measure_columns(canonical, depth), OWN_SIDE: float(max(own.size))}


def criticise(image: Tensor, request: CritiqueRequest, depth: Tensor | None = None, region=None) -> RenderedCritique:
    """IMAGE of one picture [1, H, W, C] -> its critique and the pictures that show it.

    Measured in float64 on the CPU, so that a picture has the same numbers on every machine. Raises ValueError with one
    sentence where there is nothing to measure.
    """
    own = Picture.from_images(image.cpu())
    canonical, measures = measure_picture(own, depth)
    measures |= learned_measure(image, request.reference, request.rubric)
    native = measures if canonical is own else measure_columns(own, depth)
    critique = judge(measures, request.reference, request.rubric, total=False)
    found, drawn = _evidence(canonical, critique, request)
    changes = _changes(own, critique, request) if request.what_if else None
    places = {signal.column: where(canonical, signal.column) for signal in _spoken_of(critique)}
    done = CriticisedPicture(critique, native, found, own.size, canonical.size, region, changes, swatches(own), places)
    strip, index = tiles(canonical, [each.criterion for each in critique.verdicts or critique.positions],
                         {request.heat.id: drawn} if request.heat else {}, reasons.columns_told(critique))
    scenes = (chart(critique, request.reference), heat_map_picture.heatmap(canonical, drawn)) if request.drawn else ()
    return RenderedCritique(done, *([render(scene, LIGHT.paper) for scene in scenes] or (None, None)),
                            ground(canonical), strip, index, before_after(own, changes))


def _spoken_of(critique: Critique) -> list[Signal]:
    """The signals that a critic's words may need a place of."""
    if not critique.rubric.thesis:
        return []
    return [signal for verdict in critique.counted for signal in verdict.used] + [
        signal for position in critique.positions for signal in position.criterion.signals]


def _evidence(picture: Picture, critique: Critique, request: CritiqueRequest) -> tuple[reasons.Evidence, HeatMap]:
    """What the heat map shows, and the map."""
    found = reasons.evidence(critique)
    if not request.heat:
        return found, exact(picture, found.column)
    told = reasons.columns_told(critique).get(request.heat.id)
    drawn = heat_map(picture, request.heat, step=request.step, told=told)
    return reasons.Evidence(drawn.column, found.first, drawn.exact, True), drawn


def chart(critique: Critique, reference: Reference):
    """The scene of the chart: each criterion's measures among the paintings, and its points in the score.

    Of a rubric of nothing but positions, the places between their poles."""
    if critique.positions_only:
        return opposites_chart.chart(critique, reference, tradition(reference))
    rows = [Row(verdict.criterion.name, [critique.percentiles[signal.column] for signal in verdict.used],
                verdict.contribution, [upper(phrase(signal.column).name) for signal in verdict.used])
            for verdict in critique.counted]
    return profile(rows, Titles(
        big=f"{critique.score:.0f}",
        title=f"Art critique {critique.rubric.title}" if critique.rubric.title.startswith("after") else "Art critique",
        subtitle=f"position among {tradition(reference)}, 95 % band {critique.low:.0f} to {critique.high:.0f}",
        track="% of them that measure lower",
        points="points in the score",
        foot=f"Bands: middle 50 % and 90 % of them. Points count from {critique.baseline:.1f}. Not beauty.",
    ), LIGHT)


def judge_picture(image: Tensor, reference: Reference, rubric: Rubric) -> Critique:
    """IMAGE of one picture [1, H, W, C] -> its critique, of which the score, what counts in it and its reasons are
    known: for where many pictures are told apart in words."""
    return judge(measured(image, needed(reference, rubric) | SPOKEN_OF, reference), reference, rubric)


def judge_only(image: Tensor, reference: Reference, rubric: Rubric) -> Critique:
    """IMAGE of one picture [1, H, W, C] -> its critique, of which only the score and what counts in it are known.

    Measures no more columns than these need: for where many pictures are judged."""
    return judge(measured(image, needed(reference, rubric), reference), reference, rubric)


def measurable(reference: Reference) -> set[str]:
    """The columns that can be measured of a picture here: those of filters where their file is there, the learned score
    where the reference brings its scorer."""
    filtered = FILTERED if filter_bank.find(filter_bank.folders()) else ()
    return {*MEASURES, *pictorial_depth.BY_HEIGHT, *filtered, *([LEARNED] if reference.scorer else ())}


def measured(image: Tensor, columns: Collection[str], reference: Reference | None = None) -> dict[str, float]:
    """IMAGE of one picture [1, H, W, C] -> those of the columns that can be measured, at 1024 pixels.

    The learned score among them needs a reference that carries its scorer."""
    own = Picture.from_images(image.cpu())
    found = {**measure_columns(own.at_longer_side(CANONICAL), columns=columns), OWN_SIDE: float(max(own.size))}
    if LEARNED in columns and reference and reference.scorer:
        found[LEARNED] = reference.scorer(image)
    return found


def learned_measure(image: Tensor, reference: Reference, rubric: Rubric) -> dict[str, float]:
    """The learned score of a picture where the rubric asks for it and the reference has it."""
    asked = reference.scorer and any(LEARNED in criterion.columns for criterion in rubric.criteria)
    return {LEARNED: reference.scorer(image)} if asked else {}


def measure_columns(picture: Picture, depth: Tensor | None = None,
                    columns: Collection[str] | None = None) -> dict[str, float]:
    """Every measure of a picture by column name, or those among `columns`."""
    bank = filter_bank.find(filter_bank.folders())
    found = {column: value.item() for column, value in measure(picture, bank, columns).items()}
    if columns is not None and not {*pictorial_depth.BY_DEPTH, *pictorial_depth.BY_HEIGHT} & {*columns}:
        return found
    return {**found, **pictorial_depth.measure(picture, depth)}


def _changes(own, critique, request):
    # A depth map does not follow a crop, so space keeps its numbers: nothing of it is ever counted.
    def remeasure(picture):
        image = picture.rgb.movedim(1, -1).float() / 255
        return {**critique.measures, **measure_picture(picture)[1],
                **learned_measure(image, request.reference, request.rubric)}

    session = counterfactuals.EditSearch(own, critique, request.reference, remeasure, request.step)
    return counterfactuals.counterfactuals(session)
