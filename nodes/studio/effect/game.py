"""Which coalitions of blocks have to be drawn, and what each block brings once they are.

A coalition is a number whose bit i says whether group i takes part. A worth is a vector: one number a quantity.
"""
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ...critique.shapley import gains_of, shapley_values

MODES = ("solo", "ablate", "shapley")
EXACT = 8  # groups up to which all 2^n coalitions are drawn


class Task(NamedTuple):
    """One picture: number of the sample, and the coalition."""
    sample: int
    coalition: int


class Game(NamedTuple):
    """players: groups; samples: pictures of each coalition; orders: for Shapley beyond EXACT players."""
    mode: str
    players: int
    samples: int
    orders: tuple[tuple[int, ...], ...] = ()

    @property
    def whole(self) -> int:
        return (1 << self.players) - 1

    @property
    def singles(self) -> list[int]:
        """The coalition that shows each player: it alone, or all without it."""
        alone = [1 << player for player in range(self.players)]
        return [self.whole ^ each for each in alone] if self.mode == "ablate" else alone

    @property
    def base(self) -> int:
        """What pictures are compared with."""
        return self.whole if self.mode == "ablate" else 0

    def tasks(self) -> list[Task]:
        """Every picture to draw, once. Those that show the players come first, for whoever stops early."""
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


class Values(NamedTuple):
    """by_player [n, Q] with standard errors (NaN where one draw cannot tell); whole [Q]: all less none; draws: what
    the means are over. mode: that of the values, which a cancel may have changed; NaN: a player not measured."""
    mode: str
    by_player: np.ndarray
    errors: np.ndarray
    whole: np.ndarray
    draws: int


def game(mode: str, players: int, samples: int, permutations: int, seed: int) -> Game:
    """Raises ValueError for a mode that does not exist."""
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
    if mode != "shapley" or players <= EXACT:
        return Game(mode, players, samples)
    rng, number = random.Random(f"{seed} orders"), -(-max(2, permutations) // samples) * samples
    return Game(mode, players, samples, tuple(tuple(rng.sample(range(players), players)) for _ in range(number)))


def values(played: Game, worths: dict[Task, np.ndarray]) -> Values | None:
    """What each player brings, from the pictures there are; None where they say nothing yet.

    Samples and orders that are not complete are left out. Where none is, what the first sample tells of each player
    alone (or missing) is given."""
    ways = {"shapley": _by_order if played.orders else _by_all}.get(played.mode, _by_single)
    draws = list(ways(played, worths))
    mode = played.mode
    if not draws:
        mode = "ablate" if mode == "ablate" else "solo"
        draws = list(_by_single(played, worths, partly=True))[:1]
    if not draws:
        return None
    gains, wholes = (np.array(each) for each in zip(*draws, strict=True))
    errors = gains.std(0, ddof=1) / len(draws) ** 0.5 if len(draws) > 1 else np.full_like(gains[0], np.nan)
    return Values(mode, gains.mean(0), errors, wholes.mean(0), len(draws))


def _worths(worths, sample: int, coalitions: Sequence[int]) -> list[np.ndarray] | None:
    found = [worths.get(Task(sample, coalition)) for coalition in coalitions]
    return None if any(each is None for each in found) else found


def _by_single(played: Game, worths, partly: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Players one by one: what each changes at the base, and the whole."""
    for sample in range(played.samples):
        ends, shown = _worths(worths, sample, (0, played.whole)), [worths.get(Task(sample, c)) for c in played.singles]
        known = [each for each in shown if each is not None]
        if ends and known and (partly or len(known) == len(shown)):
            base, sign = (ends[1], -1.0) if played.mode == "ablate" else (ends[0], 1.0)
            nothing = np.full_like(base, np.nan)
            yield (np.array([nothing if each is None else sign * (each - base) for each in shown]), ends[1] - ends[0])


def _by_all(played: Game, worths) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for sample in range(played.samples):
        found = _worths(worths, sample, range(played.whole + 1))
        if found:
            yield shapley_values(np.array(found)), found[-1] - found[0]


def _by_order(played: Game, worths) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number, order in enumerate(played.orders):
        found = _worths(worths, number % played.samples, _arrivals(order))
        if found:
            yield gains_of(order, found), found[-1] - found[0]


def _arrivals(order: Sequence[int]) -> list[int]:
    return list(accumulate((1 << player for player in order), initial=0))


def play(played: Game, worth: Callable[[Task], np.ndarray], show: Callable[[int], None],
         cancel: type[BaseException]) -> tuple[dict, bool]:
    """The worth of every task, each asked for once, and whether it was cancelled, which keeps those that are known.

    `show` is told how many are after each, and may cancel too."""
    worths: dict[Task, np.ndarray] = {}
    try:
        for task in played.tasks():
            worths[task] = worth(task)
            show(len(worths))
    except cancel:
        return worths, True
    return worths, False
