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

from ...critique.criteria import Criterion, Reading, Rubric
from ...critique.measures import movement
from ...critique.measures.soft import SOFT
from ...critique.reference import Reference
from ...critique.rubric import default
from ...critique.score import reading_of, voices_of, weights_of

DIRECTIONS = ("Coherence", "Obliqueness")
DETAIL = ("Slope Redies", *DIRECTIONS)
SMALLEST, LARGEST = 64, 256  # pixels of the longer side; under it a histogram of 256 levels would be nearly empty
TAIL = 10.0  # points over which a position's slope halves beyond the ends of the reference
CORNER = 4.0  # percentiles over which the top of `typical` is rounded


class Curve(NamedTuple):
    """The position of a measure among those of a reference: `percent` at ascending values `at`, linear between.

    Inside the table it is `Reference.percentile`. Beyond its ends it goes on as a logarithm that starts with `slope`,
    percentiles a unit, so that it is flat nowhere.
    """
    at: list[float]
    percent: list[float]
    slope: float

    def of(self, values: Tensor) -> Tensor:
        """[B] -> [B], 0..100 inside the table."""
        at, percent = values.new_tensor(self.at), values.new_tensor(self.percent)
        inside = values.clamp(at[0], at[-1])
        beyond = (values - inside) * (self.slope / TAIL)
        tails = TAIL * (beyond.relu().log1p() - (-beyond).relu().log1p())
        if len(at) == 1:
            return percent[0] + tails
        above = torch.bucketize(values.detach(), at).clamp(1, len(at) - 1)
        share = (inside - at[above - 1]) / (at[above] - at[above - 1])
        return torch.lerp(percent[above - 1], percent[above], share) + tails


class Term(NamedTuple):
    """A column that speaks for a criterion, with its weight in it."""
    column: str
    direction: int
    weight: float
    reading: Reading
    curve: Curve

    def points(self, values: Tensor) -> Tensor:
        position = self.curve.of(values)
        return smooth_points(self.reading, position if self.direction > 0 else 100 - position)


class Steerable(NamedTuple):
    """A criterion, its share of the reward and what of it can be moved."""
    criterion: Criterion
    weight: float
    terms: tuple[Term, ...]


class Reward(NamedTuple):
    """What pictures earn. `left_out` holds a sentence for each criterion that counts and cannot be moved."""
    steered: tuple[Steerable, ...]
    left_out: tuple[str, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """float sRGB [B, 3, H, W], 0..1 -> points [B], 0..100, a little beyond outside of the reference."""
        points = self.by_criterion(images)
        return points @ points.new_tensor([each.weight for each in self.steered])

    @property
    def most(self) -> float:
        """The most that can be earned: 100, or no bound where more (or less) of something is always better."""
        readings = {term.reading.kind for each in self.steered for term in each.terms}
        return math.inf if readings & {"high", "low"} else 100.0

    def by_criterion(self, images: Tensor) -> Tensor:
        """The points of each of `steered`, [B, K]."""
        measures = soft_measures(images, {term.column for each in self.steered for term in each.terms})
        return torch.stack([sum(term.weight * term.points(measures[term.column]) for term in each.terms)
                            for each in self.steered], 1)

    def __str__(self) -> str:
        return "\n".join(f"* {each.criterion.name}: {_aims(each)}" for each in self.steered)


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


def curve(quantiles: list[float]) -> Curve:
    """The curve through the 101 ascending quantiles of a column; equal ones are one point at their mid-rank."""
    knots: list[list[float]] = []  # value, first and last percent
    for percent, value in enumerate(quantiles):
        if knots and value - knots[-1][0] <= 1e-6 * max(1.0, abs(value)):
            knots[-1][2] = percent
        else:
            knots.append([value, percent, percent])
    middle, whole = quantiles[75] - quantiles[25], quantiles[100] - quantiles[0]
    unit = middle / 50 or whole / 100 or max(abs(quantiles[50]), 0.1) / 500
    return Curve([value for value, *_ in knots], [(first + last) / 2 for _, first, last in knots], 1 / unit)


def named(rubric: Rubric) -> Rubric:
    """The rubric with only the criteria that it names with a weight above 0; itself where it names none."""
    asked = tuple(each for each in rubric.criteria if each.asked and each.weight > 0)
    return rubric._replace(criteria=asked) if asked else rubric


def reward(rubric: Rubric, reference: Reference, detail: bool = True) -> Reward:
    """What of a rubric can be moved by a gradient; without `detail` the columns of DETAIL cannot.

    Raises ValueError with one sentence where that is nothing.
    """
    counting = [each for each in rubric.criteria if not each.bipolar and each.weight > 0]
    usable = _usable(reference, detail)
    uses = Counter(column for each in counting for column in each.columns)
    voices = [voices_of(each, dict.fromkeys(usable, 50.0), reference, uses) for each in counting]
    heard = [at for at, voice in enumerate(voices) if sum(voice.weights) > 0]
    left_out = tuple(_why_not(each, reference, detail) for at, each in enumerate(counting) if at not in heard)
    if not heard:
        raise ValueError(_nothing(left_out, reference, detail))
    counting, voices = [counting[at] for at in heard], [voices[at] for at in heard]
    weights = weights_of(counting, voices, rubric)
    return Reward(tuple(Steerable(each, weight, _terms(each, voice, reference))
                        for each, voice, weight in zip(counting, voices, weights, strict=True)), left_out)


def _usable(reference: Reference, detail: bool) -> list[str]:
    return [column for column in SOFT if column in reference.quantiles and (detail or column not in DETAIL)]


def _terms(criterion: Criterion, voice, reference: Reference) -> tuple[Term, ...]:
    total = sum(voice.weights)
    return tuple(Term(signal.column, signal.direction, weight / total, reading_of(signal, criterion),
                      curve(reference.quantiles[signal.column]))
                 for signal, weight in zip(voice.signals, voice.weights, strict=True) if weight > 0)


def _why_not(criterion: Criterion, reference: Reference, detail: bool) -> str:
    soft = [column for column in criterion.columns if column in SOFT]
    if not soft:
        return f"{criterion.name}: nothing differentiable measures it"
    known = [column for column in soft if column in reference.quantiles]
    if not known:
        return (f"{criterion.name}: the reference has no distribution of {', '.join(soft)}; connect a Critique "
                "Reference made from pictures")
    if not detail and all(column in DETAIL for column in known):
        return f"{criterion.name}: the latent colours are too coarse for {', '.join(known)}; connect a VAE"
    return f"{criterion.name}: {', '.join(known)} counts only where the rubric names the criterion"


def _nothing(left_out: tuple[str, ...], reference: Reference, detail: bool) -> str:
    usable = _usable(reference, detail)
    names = [each.name for each in default().criteria if not each.bipolar and set(each.columns) & set(usable)]
    return (f"rubric: expected at least one criterion that can be steered, got none "
            f"({'; '.join(left_out) or 'every weight is 0'}); name one of {', '.join(names) or 'none'}, or a column: "
            f"{', '.join(usable) or 'none'}")


def _aims(each: Steerable) -> str:
    reading = {str(term.reading) for term in each.terms}
    columns = ", ".join(("less " if term.direction < 0 else "") + term.column for term in each.terms)
    return f"{' or '.join(sorted(reading))} ({math.floor(each.weight * 100 + 0.5)} % of the reward), by {columns}"
