"""A learned score of pictures, its place on the scale of its head, and how it goes with what was measured."""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..reference.distributions import LEARNED, Reference
from .score_head import Head

APART = 30.0  # points between the learned and the measured score from which they are said to disagree


class Scorer(NamedTuple):
    """A head over the host's CLIP vision model. Called with IMAGE [1, H, W, C], 0..1, it gives the score."""
    clip_vision: object
    head: Head

    def __call__(self, image: Tensor) -> float:
        """Raises ValueError with one sentence where the model gives no embedding, one the head does not read, or one
        without a score."""
        with torch.inference_mode():
            embedding = embedding_of(self.clip_vision, image)
        score = self.head.score(embedding.cpu())[0].item()
        if not math.isfinite(score):
            raise ValueError(f"clip_vision: expected a model that gives finite numbers, {self.head.name} has a score "
                             f"of {score} on what it gives for a picture of {image.shape[2]} x {image.shape[1]} pixels")
        return score


class Scale(NamedTuple):
    """The lowest and the highest score that a head is meant to give."""
    low: float
    high: float

    def points(self, score: float) -> float:
        """0..100 along the scale; a score beyond an end counts as that end."""
        return 100 * min(1.0, max(0.0, (score - self.low) / (self.high - self.low)))


def scale(low: float, high: float) -> Scale:
    """Raises ValueError where the ends do not rise."""
    if not low < high:
        raise ValueError(f"highest: expected more than lowest, {low:g}, got {high:g}")
    return Scale(low, high)


def embedding_of(clip_vision, image: Tensor) -> Tensor:
    """IMAGE [1, H, W, C] -> the projected embedding [1, width] of the host's CLIP vision model, its middle square."""
    image = image[..., :3]
    image = image.expand(-1, -1, -1, 3) if image.shape[-1] == 1 else image
    found = clip_vision.encode_image(image, crop=True)["image_embeds"]
    if not isinstance(found, Tensor) or found.ndim != 2:
        raise ValueError("clip_vision: expected a model that gives one embedding a picture, such as CLIP ViT-L/14")
    return found


def with_learned(reference: Reference, scorer: Scorer, ends: Scale) -> Reference:
    """The reference, which also knows `learned`: its place is that on the scale of the head, not among pictures."""
    levels = np.linspace(ends.low, ends.high, 101).tolist()
    return reference._replace(quantiles={**reference.quantiles, LEARNED: levels}, scorer=scorer)


def lent(tradition: Reference, lender: Reference | None) -> Reference:
    """The tradition, which also knows `learned` where the lender does."""
    if not lender or not lender.scorer:
        return tradition
    return tradition._replace(quantiles={**tradition.quantiles, LEARNED: lender.quantiles[LEARNED]},
                              scorer=lender.scorer)


def disagreements(learned: Sequence[float], measured: Sequence[float]) -> list[int]:
    """The pictures, from 0, whose two scores, 0..100, lie further apart than APART."""
    return [number for number, (one, other) in enumerate(zip(learned, measured, strict=True))
            if abs(one - other) > APART]


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's, ties at their mean rank; None with fewer than three pictures or where one is the same for all."""
    if len(one) < 3 or len(set(one)) < 2 or len(set(other)) < 2:
        return None
    ranks = [[(sum(x < own for x in values) + sum(x <= own for x in values)) / 2 for own in values]
             for values in (one, other)]
    return float(np.corrcoef(ranks)[0, 1])


def write(head: Head, ends: Scale, scores: Sequence[float], measured: Sequence[float], manner: str) -> str:
    """Markdown: what the number is, each picture's beside what was measured, and where the two disagree.

    measured: the score of the critique, 0..100; manner: by which rubric."""
    what = (f"`{head.name}` was trained on people's ratings; its score says what it learnt of them and nothing of why. "
            f"It is meant to lie between {ends.low:g} and {ends.high:g}. For a rubric, connect `reference` and write "
            "`learned=high` beside what is measured.")
    if not scores:
        return f"**Learned score**: no pictures are connected.\n\n{what}"
    points = [ends.points(score) for score in scores]
    rows = ["| picture | learned | on its scale | measured | apart |", "|---:|---:|---:|---:|---:|"]
    rows += [f"| {number} | {score:.3f} | {own:.0f} | {other:.0f} | {own - other:+.0f} |"
             for number, (score, own, other) in enumerate(zip(scores, points, measured, strict=True), 1)]
    return "\n\n".join([f"**Learned score {sum(scores) / len(scores):.3f}**"
                        + (f", the mean of {len(scores)} pictures" if len(scores) > 1 else ""), what, "\n".join(rows),
                        _agreement(points, measured, manner)])


def _agreement(points: Sequence[float], measured: Sequence[float], manner: str) -> str:
    apart, rho = disagreements(points, measured), rank_correlation(points, measured)
    said = f"Measured {manner}. " + (
        f"Of picture{'s' * (len(apart) > 1)} {', '.join(str(at + 1) for at in apart)} the learned score and the "
        f"measured critique disagree by more than {APART:.0f} points." if apart else
        f"The learned score and the measured critique lie within {APART:.0f} points of each other.")
    return said + ("" if rho is None else f" Rank correlation {rho:+.2f}.")


def data(ends: Scale, scores: Sequence[float], measured: Sequence[float]) -> list[dict]:
    """One entry a picture."""
    points = [ends.points(score) for score in scores]
    apart = disagreements(points, measured)
    return [{"picture": number + 1, "learned": score, "points": points[number], "measured": measured[number],
             "disagree": number in apart} for number, score in enumerate(scores)]
