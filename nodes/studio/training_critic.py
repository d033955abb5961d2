"""A critic for those who train: pictures in, scores out, and nothing else to know about it."""
import torch

from ..critique.criteria import Rubric
from ..critique.measures import FILTERED, MEASURES, filter_bank, filters
from ..critique.picture import CANONICAL, Picture
from ..critique.reference import Reference
from ..critique.score import Critique, judge


class TrainingCritic:
    """The value of a BOTTEGA_TRAINING_CRITIC link: Art Critique's scores under one rubric, 0..100.

    Raises ValueError with one sentence where the rubric asks for what the reference does not know."""

    def __init__(self, rubric: Rubric, reference: Reference):
        self.rubric, self.reference = rubric, reference
        self.title = f"{rubric.title} among {reference.name}"
        # Asked now, of the median picture, rather than when the first steps are done.
        judge({column: values[50] for column, values in reference.quantiles.items()}, reference, rubric)

    def score(self, pictures: torch.Tensor) -> list[float]:
        """The score of each picture of an IMAGE [B, H, W, C]."""
        return [critique.score for critique in judged(pictures, self.rubric, self.reference)]


def judged(pictures: torch.Tensor, rubric: Rubric, reference: Reference) -> list[Critique]:
    """What Art Critique finds in each picture of an IMAGE, from the measures that the rubric asks for alone."""
    columns = needed(rubric, reference)
    return [judge(measured(picture, columns), reference, rubric) for picture in pictures.split(1)]


def needed(rubric: Rubric, reference: Reference) -> set[str]:
    """The columns that a score depends on."""
    counting = [criterion for criterion in rubric.criteria if criterion.weight > 0 and not criterion.bipolar]
    columns = {column for criterion in counting for column in criterion.columns}
    return columns | (reference.shares.keys() if rubric.plain else set())


def measured(picture: torch.Tensor, columns: set[str]) -> dict[str, float]:
    """Those of the columns that can be measured, of an IMAGE of one picture, at 1024 pixels."""
    own = Picture.from_images(picture.cpu()).at_longer_side(CANONICAL)
    functions = dict(MEASURES)
    if not columns.isdisjoint(FILTERED) and (bank := filter_bank.find(filter_bank.folders())):
        functions |= filters.measures_of(bank)
    return {column: functions[column](own).item() for column in functions if column in columns}
