"""Which coalitions of blocks have to be drawn, and what each block brings once they are.

A coalition is a number whose bit i says whether group i takes part. A measurement is a vector with one number for each
quantity.
"""
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ...critique.score.shapley import gains_of, shapley_values

MODES = ("solo", "ablate", "shapley")
EXACT = 8  # groups up to which all 2^n coalitions are drawn


class Task(NamedTuple):
    """One picture: number of the sample, and the coalition."""
    sample: int
    coalition: int


class AttributionPlan(NamedTuple):
    """Which pictures a mode needs. groups: how many there are; samples: pictures of each coalition; orders: random
    orders of the groups, for Shapley values of more than EXACT groups."""
    mode: str
    groups: int
    samples: int
    orders: tuple[tuple[int, ...], ...] = ()

    @property
    def whole(self) -> int:
        return (1 << self.groups) - 1

    @property
    def singles(self) -> list[int]:
        """The coalition that shows each group: it alone, or all without it."""
        alone = [1 << group for group in range(self.groups)]
        return [self.whole ^ each for each in alone] if self.mode == "ablate" else alone

    @property
    def base(self) -> int:
        """What pictures are compared with."""
        return self.whole if self.mode == "ablate" else 0

    def tasks(self) -> list[Task]:
        """Every picture to draw, once. Those that show the groups come first, for whoever stops early."""
        first = [self.base, self.whole ^ self.base, *self.singles]
        wanted = [Task(0, coalition) for coalition in first]
        if self.orders:
            wanted += [Task(number % self.samples, coalition) for number, order in enumerate(self.orders)
                       for coalition in _arrivals(order)]
        else:
            every = range(self.whole + 1) if self.mode == "shapley" else first
            wanted += [Task(sample, coalition) for sample in range(self.samples) for coalition in [*first, *every]]
        wanted = list(dict.fromkeys(wanted))
        bases = {}  # each sample begins with the picture that its others are compared with
        return list(dict.fromkeys(task for wish in wanted
                                  for task in (bases.setdefault(wish.sample, Task(wish.sample, self.base)), wish)))


class Attribution(NamedTuple):
    """by_group [n, Q] with standard errors (NaN where one draw cannot tell); whole [Q]: all less none; draws: what
    the means are over. mode: that of the values, which a cancel may have changed; NaN: a group not measured."""
    mode: str
    by_group: np.ndarray
    errors: np.ndarray
    whole: np.ndarray
    draws: int


def plan_attribution(mode: str, groups: int, samples: int, permutations: int, seed: int) -> AttributionPlan:
    """Raises ValueError for a mode that does not exist."""
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
    if mode != "shapley" or groups <= EXACT:
        return AttributionPlan(mode, groups, samples)
    rng, number = random.Random(f"{seed} orders"), -(-max(2, permutations) // samples) * samples
    orders = tuple(tuple(rng.sample(range(groups), groups)) for _ in range(number))
    return AttributionPlan(mode, groups, samples, orders)


def attribute(plan: AttributionPlan, measurements: dict[Task, np.ndarray]) -> Attribution | None:
    """What each group brings, from the pictures there are; None where they say nothing yet.

    Samples and orders that are not complete are left out. Where none is, what the first sample tells of each group
    alone (or missing) is given."""
    ways = {"shapley": _by_order if plan.orders else _by_all}.get(plan.mode, _by_single)
    draws = list(ways(plan, measurements))
    mode = plan.mode
    if not draws:
        mode = "ablate" if mode == "ablate" else "solo"
        draws = list(_by_single(plan, measurements, partly=True))[:1]
    if not draws:
        return None
    gains, wholes = (np.array(each) for each in zip(*draws, strict=True))
    errors = gains.std(0, ddof=1) / len(draws) ** 0.5 if len(draws) > 1 else np.full_like(gains[0], np.nan)
    return Attribution(mode, gains.mean(0), errors, wholes.mean(0), len(draws))


def _measured(measurements, sample: int, coalitions: Sequence[int]) -> list[np.ndarray] | None:
    found = [measurements.get(Task(sample, coalition)) for coalition in coalitions]
    return None if any(each is None for each in found) else found


def _by_single(plan: AttributionPlan, measurements, partly: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Groups one by one: what each changes at the base, and the whole."""
    for sample in range(plan.samples):
        ends = _measured(measurements, sample, (0, plan.whole))
        shown = [measurements.get(Task(sample, coalition)) for coalition in plan.singles]
        known = [each for each in shown if each is not None]
        if ends and known and (partly or len(known) == len(shown)):
            base, sign = (ends[1], -1.0) if plan.mode == "ablate" else (ends[0], 1.0)
            nothing = np.full_like(base, np.nan)
            yield (np.array([nothing if each is None else sign * (each - base) for each in shown]), ends[1] - ends[0])


def _by_all(plan: AttributionPlan, measurements) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for sample in range(plan.samples):
        found = _measured(measurements, sample, range(plan.whole + 1))
        if found:
            yield shapley_values(np.array(found)), found[-1] - found[0]


def _by_order(plan: AttributionPlan, measurements) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number, order in enumerate(plan.orders):
        found = _measured(measurements, number % plan.samples, _arrivals(order))
        if found:
            yield gains_of(order, found), found[-1] - found[0]


def _arrivals(order: Sequence[int]) -> list[int]:
    return list(accumulate((1 << group for group in order), initial=0))


def measure_all(plan: AttributionPlan, measured: Iterator[np.ndarray], show: Callable[[int], None],
                cuts: type[BaseException] | tuple[type[BaseException], ...]) -> tuple[dict, BaseException | None]:
    """Measures every task once. measured: the measurements in the order of plan.tasks(), each made when it is asked
    for. Returns (measurements, what of `cuts` ended it early).

    `show` is told after each how many are done, and may cancel too."""
    measurements: dict[Task, np.ndarray] = {}
    try:
        for task in plan.tasks():
            measurements[task] = next(measured)
            show(len(measurements))
    except cuts as error:
        return measurements, error
    return measurements, None
