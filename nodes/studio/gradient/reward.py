"""A rubric as a reward: the points of float pictures, differentiable in their pixels.

Of each criterion only the columns take part that have a differentiable form (`critique.measures.soft`) and a
distribution in the reference. Their weights are those of the score, so the reward is the part of it that a gradient can
move. It follows the score and does not equal it: soft measures stand for the measures, and corners are rounded.

Small decoded pictures stand for the 1024 pixels at which the paintings were measured: most columns move by about one
percentile when a picture is resized, so they are read at SMALLEST to LARGEST pixels. Those of DETAIL live in what is
finer than a latent cell, and are read only where the decoder shows it: directions at the size at which they are
measured, the spectrum at the picture's own, because its soft form itself reads that of the enlarged one.
"""
import math
from collections import Counter
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ....kernels.constants import constant
from ...critique.explain import phrases
from ...critique.measures import movement
from ...critique.measures.soft import SOFT
from ...critique.reference.distributions import Reference
from ...critique.rubric.criteria import Criterion, Reading, Rubric
from ...critique.rubric.default_rubric import default
from ...critique.score.judge import reading_of, weighted_signals, weights_of

DIRECTIONS = ("Coherence", "Obliqueness", "Leading direction")
DETAIL = ("Slope Redies", *DIRECTIONS)
SMALLEST, LARGEST = 64, 256  # pixels of the longer side; under it a histogram of 256 levels would be nearly empty
TAIL = 10.0  # points over which a position's slope halves beyond the ends of the reference
BESIDES = ("What the rubric does not name: Art Critique counts it too, as long as the rubric does not say `*=0`, and "
           "guidance pushes towards what is named alone")
CORNER = 4.0  # percentiles over which the top of `typical` is rounded


class PositionCurve(NamedTuple):
    """The position of a measure among those of a reference: `percent` at ascending values `at`, linear between.

    Inside the table it is `Reference.percentile`. Beyond its ends it goes on as a logarithm that starts with `slope`,
    percentiles a unit, so that it is flat nowhere.
    """
    at: tuple[float, ...]
    percent: tuple[float, ...]
    slope: float

    def of(self, values: Tensor) -> Tensor:
        """[B] -> [B], 0..100 inside the table."""
        at, percent = constant(self.at, values), constant(self.percent, values)
        inside = values.clamp(at[0], at[-1])
        beyond = (values - inside) * (self.slope / TAIL)
        tails = TAIL * (beyond.relu().log1p() - (-beyond).relu().log1p())
        if len(at) == 1:
            return percent[0] + tails
        above = torch.bucketize(values.detach(), at).clamp(1, len(at) - 1)
        share = (inside - at[above - 1]) / (at[above] - at[above - 1])
        return torch.lerp(percent[above - 1], percent[above], share) + tails


class RewardTerm(NamedTuple):
    """A column that speaks for a criterion, with its weight in it."""
    column: str
    direction: int
    weight: float
    reading: Reading
    curve: PositionCurve

    def points(self, values: Tensor) -> Tensor:
        position = self.curve.of(values)
        return smooth_points(self.reading, position if self.direction > 0 else 100 - position)


class RewardedCriterion(NamedTuple):
    """A criterion, its share of the reward and what of it can be moved."""
    criterion: Criterion
    weight: float
    terms: tuple[RewardTerm, ...]


class Reward(NamedTuple):
    """What pictures earn. `left_out` holds a sentence for each criterion that counts and cannot be moved."""
    criteria: tuple[RewardedCriterion, ...]
    left_out: tuple[str, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """float sRGB [B, 3, H, W], 0..1 -> points [B], 0..100, a little beyond outside of the reference."""
        points = self.by_criterion(images)
        return points @ constant(tuple(each.weight for each in self.criteria), points)

    @property
    def maximum(self) -> float:
        """The most that can be earned: 100, or no bound where more (or less) of something is always better."""
        readings = {term.reading.kind for each in self.criteria for term in each.terms}
        return math.inf if readings & {"high", "low"} else 100.0

    def by_criterion(self, images: Tensor) -> Tensor:
        """The points of each of `steered`, [B, K]."""
        measures = soft_measures(images, {term.column for each in self.criteria for term in each.terms})
        return torch.stack([sum(term.weight * term.points(measures[term.column]) for term in each.terms)
                            for each in self.criteria], 1)

    def __str__(self) -> str:
        return "\n".join(f"* {each.criterion.name}: {_aims(each)}" for each in self.criteria)


def soft_measures(images: Tensor, columns) -> dict[str, Tensor]:
    """column -> [B] of float pictures [B, 3, H, W], each at the size where it is read."""
    sides = {column: read_at(column, max(images.shape[2:])) for column in columns}
    pictures = {side: at_longer_side(images, side) for side in set(sides.values())}
    return {column: SOFT[column](pictures[side]) for column, side in sides.items()}


def read_at(column: str, longer: int) -> int:
    """The pixels of the longer side at which a column of a picture of `longer` is read."""
    if column in DIRECTIONS:
        return movement.SIDE
    return longer if column in DETAIL else min(max(longer, SMALLEST), LARGEST)


def at_longer_side(images: Tensor, side: int) -> Tensor:
    """[B, 3, H, W] with the longer side at `side` pixels, bilinear, which never leaves 0..1."""
    longer = max(images.shape[2:])
    if longer == side:
        return images
    size = tuple(max(1, round(length * side / longer)) for length in images.shape[2:])
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=side < longer)


def smooth_points(reading: Reading, position: Tensor) -> Tensor:
    """`Reading.of` with a slope wherever more can be had: `typical` with a round top, the bells with wide feet.

    A bell is 80 exp(-u) + 20 / (1 + u) with u = d^2 / 2, d in units of `within`: as high, but flat nowhere.
    """
    if reading.kind == "typical":
        away = 2 * position - 100
        return 100 + CORNER - (away * away + CORNER * CORNER).sqrt()
    if reading.kind in ("high", "low"):
        return position if reading.kind == "high" else 100 - position
    away = position - reading.at
    missing = {"target": away, "least": (-away).relu(), "most": away.relu()}[reading.kind]
    u = (missing / reading.within) ** 2 / 2
    return 80 * (-u).exp() + 20 / (1 + u)


def curve(quantiles: list[float]) -> PositionCurve:
    """The curve through the 101 ascending quantiles of a column; equal ones are one point at their mid-rank."""
    knots: list[list[float]] = []  # value, first and last percent
    for percent, value in enumerate(quantiles):
        if knots and value - knots[-1][0] <= 1e-6 * max(1.0, abs(value)):
            knots[-1][2] = percent
        else:
            knots.append([value, percent, percent])
    middle, whole = quantiles[75] - quantiles[25], quantiles[100] - quantiles[0]
    unit = middle / 50 or whole / 100 or max(abs(quantiles[50]), 0.1) / 500
    return PositionCurve(tuple(value for value, *_ in knots), tuple((first + last) / 2 for _, first, last in knots),
                         1 / unit)


def named(rubric: Rubric) -> Rubric:
    """The rubric with only the criteria that it names with a weight above 0; itself where it names none."""
    asked = tuple(each for each in rubric.criteria if each.asked and each.weight > 0)
    return rubric._replace(criteria=asked) if asked else rubric


def reward_of_named(rubric: Rubric, reference: Reference, detail: bool = True) -> Reward:
    """`reward` of what a rubric names, which says that the score of the same rubric counts more than that."""
    part = named(rubric)
    found = reward(part, reference, detail)
    more = [each for each in rubric.criteria if not each.bipolar and each.weight > 0 and each not in part.criteria]
    return found._replace(left_out=(*found.left_out, BESIDES)) if more else found


def reward(rubric: Rubric, reference: Reference, detail: bool = True) -> Reward:
    """What of a rubric can be moved by a gradient; without `detail` the columns of DETAIL cannot.

    Raises ValueError with one sentence where that is nothing.
    """
    counting = [each for each in rubric.criteria if not each.bipolar and each.weight > 0]
    usable = _usable(reference, detail)
    uses = Counter(column for each in counting for column in each.columns)
    weighted = [weighted_signals(each, dict.fromkeys(usable, 50.0), reference, uses) for each in counting]
    movable = [at for at, signals in enumerate(weighted) if sum(signals.weights) > 0]
    left_out = tuple(_why_not(each, reference, detail) for at, each in enumerate(counting) if at not in movable)
    if not movable:
        raise ValueError(_nothing(left_out, reference, detail))
    counting, weighted = [counting[at] for at in movable], [weighted[at] for at in movable]
    weights = weights_of(counting, weighted, rubric)
    return Reward(tuple(RewardedCriterion(each, weight, _terms(each, signals, reference))
                        for each, signals, weight in zip(counting, weighted, weights, strict=True)), left_out)


def _usable(reference: Reference, detail: bool) -> list[str]:
    return [column for column in SOFT if column in reference.quantiles and (detail or column not in DETAIL)]


def _terms(criterion: Criterion, signals, reference: Reference) -> tuple[RewardTerm, ...]:
    total = sum(signals.weights)
    return tuple(RewardTerm(signal.column, signal.direction, weight / total, reading_of(signal, criterion),
                      curve(reference.quantiles[signal.column]))
                 for signal, weight in zip(signals.signals, signals.weights, strict=True) if weight > 0)


def _why_not(criterion: Criterion, reference: Reference, detail: bool) -> str:
    soft = [column for column in criterion.columns if column in SOFT]
    if not soft:
        return f"{criterion.name}: nothing differentiable measures it"
    known = [column for column in soft if column in reference.quantiles]
    if not known:
        return (f"{criterion.name}: the reference has no distribution of {', '.join(soft)}; connect a Critique "
                "Reference made from pictures")
    names = ", ".join(map(phrases.named, known))
    if not detail and all(column in DETAIL for column in known):
        return f"{criterion.name}: the latent colours are too coarse for {names}; connect a VAE"
    return f"{criterion.name}: {names} counts only where the rubric names the criterion"


def _nothing(left_out: tuple[str, ...], reference: Reference, detail: bool) -> str:
    usable = _usable(reference, detail)
    names = [each.name for each in default().criteria if not each.bipolar and set(each.columns) & set(usable)]
    return (f"rubric: expected at least one criterion that can be steered, got none "
            f"({'; '.join(left_out) or 'every weight is 0'}); name one of {', '.join(names) or 'none'}, or a column: "
            f"{', '.join(usable) or 'none'}")


def _aims(each: RewardedCriterion) -> str:
    reading = {str(term.reading) for term in each.terms}
    columns = ", ".join(("less " if term.direction < 0 else "") + phrases.named(term.column) for term in each.terms)
    return f"{' or '.join(sorted(reading))} ({math.floor(each.weight * 100 + 0.5)} % of the reward), by {columns}"
