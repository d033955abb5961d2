"""From measures to a score, and from the score back to what each criterion gave or took."""
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .reference import Reference, typicality
from .rubric import RUBRIC, Criterion

AVERAGE = 50.0  # the mean typicality of the tradition in every column, by construction


class Verdict(NamedTuple):
    """A criterion as one picture meets it: its typicality 0..100, its weight, and its points in the score."""
    criterion: Criterion
    typicality: float
    weight: float
    contribution: float


class Critique(NamedTuple):
    """What was found in one picture. `measures`, `percentiles` and `typicalities` are by column name.

    `score` is 0..100 and, over the paintings of the reference, even; `baseline` is the score of a picture of average
    typicality in everything, and the contributions of the verdicts sum to `score` - `baseline`.
    """
    score: float
    baseline: float
    measures: dict[str, float]
    percentiles: dict[str, float]
    typicalities: dict[str, float]
    verdicts: tuple[Verdict, ...]


def judge(measures: dict[str, float], reference: Reference, rubric: tuple[Criterion, ...] = RUBRIC) -> Critique:
    """The critique of one picture from its measures at the resolution of the reference."""
    percentiles = {column: reference.percentile(column, value) for column, value in measures.items()}
    typical = {column: typicality(position) for column, position in percentiles.items()}
    weights = [sum(reference.shares[column] for column in criterion.columns) for criterion in rubric]
    means = [sum(reference.shares[column] * typical[column] for column in criterion.columns) / weight
             for criterion, weight in zip(rubric, weights, strict=True)]
    parts = np.array([weight * (mean - AVERAGE) for weight, mean in zip(weights, means, strict=True)])
    points = shapley(parts, lambda shift: reference.rank(AVERAGE + shift))
    return Critique(float(reference.rank(AVERAGE + parts.sum())), float(reference.rank(AVERAGE)), measures, percentiles,
                    typical, tuple(map(Verdict, rubric, means, weights, points)))


def shapley(parts: np.ndarray, worth: Callable[[np.ndarray], np.ndarray]) -> list[float]:
    """Exact Shapley values of `worth(sum of the parts that take part)`, over all 2^n coalitions of the n parts.

    They sum to worth(all) - worth(none), whatever the shape of `worth` (Shapley 1953).
    """
    number = len(parts)
    coalitions = np.arange(1 << number)
    members = coalitions[:, None] >> np.arange(number) & 1
    worths, sizes = worth(members @ parts), members.sum(1)
    weight = np.array([1 / (number * math.comb(number - 1, size)) for size in range(number)])
    values = []
    for part in range(number):
        without = coalitions[members[:, part] == 0]
        gain = worths[without | 1 << part] - worths[without]
        values.append(float(weight[sizes[without]] @ gain))
    return values
