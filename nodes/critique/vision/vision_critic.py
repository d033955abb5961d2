"""A critic's card put to a vision-language model as questions, and its answers beside what was measured."""
import json
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ...shared.vision_model import Eye
from ..reference.distributions import FULL, OWN_SIDE, Reference
from ..rubric.criteria import Criterion
from ..rubric.critic_cards import Card
from ..score.judge import points, position
from .readout import Reading, digit_ids, read

APART = 30.0  # points between the model's claim and the measurement from which they are said to disagree


class Answer(NamedTuple):
    """What the model says to one concept, and what was measured: points 0..100, or a place -1..1 between poles."""
    concept: Criterion
    said: Reading
    measured: float | None

    @property
    def value(self) -> float:
        return self.said.place if self.concept.bipolar else self.said.points

    @property
    def disagree(self) -> bool:
        apart = APART / 50 if self.concept.bipolar else APART
        return self.measured is not None and self.said.is_answer and abs(self.value - self.measured) > apart


def question(concept: Criterion) -> str:
    """The instruction for one concept: its question, its two ends, and a digit for an answer."""
    ends = f"0 means: {concept.low}. 9 means: {concept.high}."
    lead = "Where does this picture stand?" if concept.bipolar else "How far is this true of this picture?"
    return (f"{concept.question} {lead} {ends} Look at the picture itself, not at its subject or its fame. "
            "Answer with one digit from 0 to 9 and nothing else.")


def ask(eye: Eye, image: Tensor, card: Card, percentiles: dict[str, float], done: Callable[[], None]) -> list[Answer]:
    """One prefill a concept of the card, for one picture [1, H, W, C]; `done` is called after each."""
    ids, answers = digit_ids(eye), []
    for concept in card.concepts:
        said = read(eye.next_logits(eye.tokens(image, question(concept))), ids)
        measured = position if concept.bipolar else points
        answers.append(Answer(concept, said, measured(concept, percentiles)))
        done()
    return answers


def score(answers: list[Answer]) -> float | None:
    """The mean points of the concepts that are no position between poles; None where all are."""
    values = [answer.value for answer in answers if not answer.concept.bipolar]
    return sum(values) / len(values) if values else None


def measured_percentiles(data: str, count: int, tradition: Reference) -> list[dict[str, float]]:
    """The percentiles of every picture from the data of Art Critique, among what it compared with and without those
    that say nothing of a picture of its size; in the tradition where the data hold none.

    Raises ValueError for anything else."""
    if not data.strip():
        return [{} for _ in range(count)]
    try:
        found = [_steady(entry, tradition) for entry in json.loads(data)]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError("data: expected the data of Art Critique, a JSON list with the measures of every picture, "
                         f"got {data.strip()[:24]!r}") from None
    if len(found) != count:
        raise ValueError(f"data: expected the measures of {count} pictures, one an image, got {len(found)}")
    return found


def _steady(entry: dict, tradition: Reference) -> dict[str, float]:
    """The percentiles of one picture that speak for a concept, as in the critique itself."""
    measures, at_size = entry["measures"], tradition.at_size(entry["measures"].get(OWN_SIDE, FULL))
    percentiles = entry.get("percentiles") or {column: tradition.percentile(column, value)
                                               for column, value in measures.items() if column in tradition.quantiles}
    unsteady = entry.get("unsteady", [column for column in percentiles if at_size.unsteady(column)])
    return {column: float(at) for column, at in percentiles.items() if column not in unsteady}
