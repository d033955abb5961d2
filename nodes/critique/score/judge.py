"""From measures to a score, and from the score back to what each criterion gave or took."""
from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from ..reference.distributions import FULL, OWN_SIDE, Reference, typicality
from ..rubric.criteria import Criterion, Rubric, Signal
from ..rubric.default_rubric import default
from .shapley import shapley_values

AVERAGE = 50.0  # the mean typicality of the tradition in every column, by construction


class Verdict(NamedTuple):
    """A criterion as one picture meets it.

    `points` are its reading 0..100, `position` its place among the tradition 0..100, `typicality` 0..100; all None
    where nothing that was measured has a distribution. `weight` is its share of the total (0: shown, not counted),
    `contribution` what it gives to or takes from the score; `used` are the signals that its points are the mean of.
    """
    criterion: Criterion
    points: float | None
    position: float | None
    typicality: float | None
    weight: float
    contribution: float
    used: tuple[Signal, ...] = ()


class Position(NamedTuple):
    """Where a picture stands between two poles: -1 the low one, 1 the high one, 0 the middle of the tradition."""
    criterion: Criterion
    place: float | None


class Critique(NamedTuple):
    """What was found in one picture. `measures`, `percentiles` and `typicalities` are by column name.

    `score` is 0..100 with its 95 % band from `low` to `high`; `baseline` is the score of the average picture, and the
    contributions of the verdicts sum to `score` - `baseline`. `ranked` scores are even over the tradition; the others
    are weighted means of points. A rubric of nothing but positions has no verdicts, and 0 for all four numbers. `usual`
    are the ends of the middle half of the tradition, by column; `estimated` the columns whose spread over the tradition
    was not measured but estimated.
    """
    score: float
    low: float
    high: float
    baseline: float
    ranked: bool
    measures: dict[str, float]
    percentiles: dict[str, float]
    typicalities: dict[str, float]
    verdicts: tuple[Verdict, ...]
    positions: tuple[Position, ...]
    rubric: Rubric
    usual: dict[str, tuple[float, float]] = {}
    estimated: tuple[str, ...] = ()

    @property
    def counted(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.weight > 0]

    @property
    def positions_only(self) -> bool:
        """True where nothing is counted, so that there is no score."""
        return not self.verdicts


class WeightedSignals(NamedTuple):
    """The signals of a criterion that can be placed, with their weights, and the percentiles of their columns."""
    signals: list[Signal]
    weights: list[float]
    percentiles: list[float]

    @property
    def shares(self) -> list[float]:
        """The weights, or the same for all where none weighs anything."""
        return self.weights if sum(self.weights) > 0 else [1.0] * len(self.signals)

    @property
    def used(self) -> tuple[Signal, ...]:
        """The signals that the mean is of."""
        return tuple(signal for signal, share in zip(self.signals, self.shares, strict=True) if share)

    def mean(self, function) -> float | None:
        """The weighted mean of `function(signal, percentile)`; None where there are no signals."""
        values = [share * function(signal, percentile)
                  for signal, share, percentile in zip(self.signals, self.shares, self.percentiles, strict=True)]
        return sum(values) / sum(self.shares) if values else None


def judge(measures: dict[str, float], reference: Reference, rubric: Rubric | None = None,
          total: bool = True) -> Critique:
    """The critique of one picture from its measures at the resolution of the reference.

    Raises ValueError with one sentence where the rubric asks for what the reference does not know, and, unless `total`
    is False, where it holds nothing but positions between poles.
    """
    rubric = rubric or default()
    if total:
        check_total(rubric)
    reference = reference.at_size(measures.get(OWN_SIDE, FULL))
    usual = {column: (of[25], of[75]) for column, of in reference.quantiles.items()}
    percentiles = {column: reference.percentile(column, value) for column, value in measures.items()
                   if column in reference.quantiles}
    steady = {column: at for column, at in percentiles.items() if not reference.unsteady(column)}
    positions = tuple(Position(criterion, position(criterion, steady)) for criterion in rubric.criteria
                      if criterion.bipolar)
    counting = [criterion for criterion in rubric.criteria if not criterion.bipolar]
    typicalities = {column: typicality(at) for column, at in percentiles.items()}
    if not counting:
        return Critique(0.0, 0.0, 0.0, 0.0, False, measures, percentiles, typicalities, (), positions, rubric,
                        usual, reference.estimated)
    uses = _uses(counting)
    weighted = [weighted_signals(criterion, percentiles, reference, uses) for criterion in counting]
    weights = weights_of(counting, weighted, rubric)
    readings = [(points_of(criterion, each), each.mean(lambda signal, at, c=criterion: reading_of(signal, c).average))
                for criterion, each in zip(counting, weighted, strict=True)]
    parts = np.array([weight * (points - average) if weight else 0.0
                      for weight, (points, average) in zip(weights, readings, strict=True)])
    ranked = rubric.plain and reference.shares.keys() <= measures.keys()
    score, baseline, contributions = (_ranked if ranked else _mean)(parts, weights, readings, reference)
    low, high = ((score - reference.band, score + reference.band) if ranked
                 else _band(counting, weighted, weights, reference.band))
    verdicts = tuple(
        Verdict(criterion, points, each.mean(Signal.place), each.mean(lambda _, at: typicality(at)), weight, part,
                each.used)
        for criterion, each, weight, (points, _), part in zip(counting, weighted, weights, readings, contributions,
                                                               strict=True))
    return Critique(score, max(0.0, low), min(100.0, high), baseline, ranked, measures, percentiles, typicalities,
                    verdicts, positions, rubric, usual, reference.estimated)


def needed(reference: Reference, rubric: Rubric) -> set[str]:
    """The columns that decide the score and the criteria that count: of these alone `judge` says the same of them.

    Raises what `judge` raises for the rubric."""
    used = {signal.column for _, each, weight in _known(reference, rubric) if weight for signal in each.used}
    return used | reference.shares.keys() if rubric.plain else used


def check_measured(reference: Reference, rubric: Rubric, columns: Collection[str]) -> None:
    """Raises what `judge` raises of pictures of which these columns are measured, before any is. A rubric of nothing
    but positions passes."""
    middle = {column: quantiles[50] for column, quantiles in reference.quantiles.items() if column in columns}
    judge(middle, reference, rubric, total=False)


def starred_out(reference: Reference, rubric: Rubric) -> tuple[list[Criterion], list[Criterion]]:
    """The criteria that the rubric names by a star only and that therefore do not count: those that count where they
    are named one by one, and those of which the reference knows nothing. Raises what `judge` raises."""
    out = [(criterion, each) for criterion, each, weight in _known(reference, rubric)
           if criterion.star and criterion.weight > 0 and not weight]
    return [each for each, found in out if found.signals], [each for each, found in out if not found.signals]


def _known(reference: Reference, rubric: Rubric) -> list[tuple[Criterion, WeightedSignals, float]]:
    """The criteria that can count, what speaks for each in this reference, and its share of the total."""
    check_total(rubric)
    counting = [criterion for criterion in rubric.criteria if not criterion.bipolar]
    uses = _uses(counting)
    known = dict.fromkeys(reference.quantiles, AVERAGE)
    weighted = [weighted_signals(criterion, known, reference, uses) for criterion in counting]
    return list(zip(counting, weighted, weights_of(counting, weighted, rubric), strict=True))


def check_total(rubric: Rubric) -> None:
    """Raises ValueError with one sentence where nothing of a rubric can count."""
    if all(criterion.bipolar for criterion in rubric.criteria):
        raise ValueError(f"rubric: expected something that can count, got only positions between two poles "
                         f"({rubric.title}), of which neither is better; Art Critique shows them")


def position(criterion: Criterion, percentiles: dict[str, float]) -> float | None:
    """A bipolar criterion's place from -1 to 1; None where none of its columns was measured."""
    place = measured_signals(criterion, percentiles).mean(Signal.place)
    return None if place is None else place / 50 - 1


def points(criterion: Criterion, percentiles: dict[str, float]) -> float | None:
    """What the columns say to a criterion on its own, 0..100; None where none of them was measured."""
    return points_of(criterion, measured_signals(criterion, percentiles))


def points_of(criterion: Criterion, weighted: WeightedSignals) -> float | None:
    """0..100; None where there are no signals."""
    return weighted.mean(lambda signal, at: reading_of(signal, criterion).of(signal.place(at)))


def told(measures: dict[str, float], reference: Reference, rubric: Rubric,
         columns: Collection[str]) -> dict[str, float]:
    """The points, and of positions the places, that `judge` gives where all `columns` are measured, by the name of the
    criterion: of those that rest on `measures` alone."""
    reference = reference.at_size(measures.get(OWN_SIDE, FULL))
    known = {column: reference.percentile(column, measures[column]) if column in measures else AVERAGE
             for column in columns if column in reference.quantiles}
    steady = {column: at for column, at in known.items() if not reference.unsteady(column)}
    uses = _uses([criterion for criterion in rubric.criteria if not criterion.bipolar])
    found = {}
    for criterion in rubric.criteria:
        each = (measured_signals(criterion, steady) if criterion.bipolar
                else weighted_signals(criterion, known, reference, uses))
        if each.signals and all(signal.column in measures for signal in each.used):
            found[criterion.name] = position(criterion, steady) if criterion.bipolar else points_of(criterion, each)
    return found


def _uses(criteria) -> Counter:
    """How many criteria each column speaks for."""
    return Counter(column for criterion in criteria for column in criterion.columns)


def measured_signals(criterion: Criterion, percentiles: dict[str, float],
                     share: Callable[[Signal], float] = lambda _: 1.0) -> WeightedSignals:
    """The signals of a criterion that were measured; a signal without a weight of its own weighs its `share`."""
    signals = [signal for signal in criterion.signals if signal.column in percentiles]
    weights = [share(signal) if signal.weight is None else signal.weight for signal in signals]
    return WeightedSignals(signals, weights, [percentiles[signal.column] for signal in signals])


def weighted_signals(criterion, percentiles, reference, uses) -> WeightedSignals:
    """The signals of a criterion, each with what its column weighs in the tradition, shared between its `uses`."""
    own = tuple(signal._replace(weight=0.0) if signal.weight and reference.unsteady(signal.column) else signal
                for signal in criterion.signals)
    found = measured_signals(criterion._replace(signals=own), percentiles,
                             lambda signal: reference.shares.get(signal.column, 0.0) / uses[signal.column])
    if (criterion.asked or criterion.aiming) and sum(found.weights) == 0:  # as an average column of the total
        found = measured_signals(criterion._replace(signals=_standing_in(criterion, percentiles, reference)),
                                 percentiles)
        return found._replace(weights=[1 / len(reference.shares)] * len(found.signals))
    if criterion.aiming:
        return found._replace(weights=[sum(found.weights) / len(found.weights)] * len(found.weights))
    return found


def _standing_in(criterion, percentiles, reference) -> tuple[Signal, ...]:
    """What speaks for a criterion that a rubric names and of which nothing counts by itself: in a small copy what
    speaks for it in a large one, as nothing else of it tells what it asks for."""
    signals = criterion.aimed or criterion.signals
    return tuple(each for each in signals if each.column in percentiles and reference.unsteady(each.column)) or signals


def reading_of(signal: Signal, criterion: Criterion):
    return signal.reading or criterion.reading


def weights_of(criteria, weighted, rubric) -> list[float]:
    """The share of each criterion in the total, 1 together."""
    weights = []
    for criterion, each in zip(criteria, weighted, strict=True):
        if criterion.asked and criterion.weight > 0 and not each.signals:
            raise ValueError(
                f"rubric: {criterion.name} cannot count: of what speaks for it ({', '.join(criterion.columns)}) "
                "nothing is both measured here and known of the pictures of the reference; connect a reference that "
                "knows it, or what measures it, such as a filter file" if criterion.columns else
                f"rubric: {criterion.name} cannot count: nothing that is measured speaks for it")
        own = sum(each.weights)
        weights.append(criterion.weight * (own if rubric.shared else float(own > 0)))
    total = sum(weights)
    if total <= 0:
        raise ValueError("rubric: expected at least one criterion with a weight above 0 that was measured, got none")
    return [weight / total for weight in weights]


def _ranked(parts, weights, readings, reference):
    contributions = shapley(parts, lambda shift: reference.rank(AVERAGE + shift))
    return float(reference.rank(AVERAGE + parts.sum())), float(reference.rank(AVERAGE)), contributions


def _mean(parts, weights, readings, reference):
    baseline = sum(weight * average for weight, (_, average) in zip(weights, readings, strict=True) if weight)
    return min(100.0, max(0.0, baseline + float(parts.sum()))), baseline, parts.tolist()


def _band(criteria, weighted, weights, band: float) -> tuple[float, float]:
    """The lowest and the highest score when every percentile may lie anywhere in its own band."""
    def total(end):
        means = [each.mean(lambda signal, at, c=criterion: reading_of(signal, c)
                            .over(signal.place(at) - band, signal.place(at) + band)[end])
                 for criterion, each in zip(criteria, weighted, strict=True)]
        return sum(weight * mean for weight, mean in zip(weights, means, strict=True) if weight)

    return total(0), total(1)


def shapley(parts: np.ndarray, worth: Callable[[np.ndarray], np.ndarray]) -> list[float]:
    """Exact Shapley values of `worth(sum of the parts that take part)`, over all coalitions; parts of 0 get 0."""
    playing = np.flatnonzero(parts)
    members = np.arange(1 << len(playing))[:, None] >> np.arange(len(playing)) & 1
    values = np.zeros(len(parts))
    values[playing] = shapley_values(worth(members @ parts[playing]))
    return values.tolist()
