"""A critic for those who train: pictures in, scores out, and nothing else to know about it."""
import torch

from ..critique.examination import judge_only
from ..critique.reference.distributions import Reference
from ..critique.rubric.criteria import Rubric
from ..critique.score.judge import needed


class TrainingCritic:
    """The value of a BOTTEGA_TRAINING_CRITIC link: Art Critique's scores under one rubric, 0..100.

    Raises ValueError with one sentence where the rubric asks for what the reference does not know."""

    def __init__(self, rubric: Rubric, reference: Reference):
        self.rubric, self.reference = rubric, reference
        self.title = f"{rubric.title} among {reference.name}"
        needed(reference, rubric)       # raises now what would come when the first steps are done

    def score(self, pictures: torch.Tensor) -> list[float]:
        """The score of each picture of an IMAGE [B, H, W, C]."""
        return [judge_only(picture, self.reference, self.rubric).score for picture in pictures.split(1)]
