"""What a critique is made of: criteria, the measured columns that answer them, and how a position becomes points."""
import math
from typing import NamedTuple


class Reading(NamedTuple):
    """How a place among the pictures of the tradition, 0..100, becomes 0..100 points.

    `typical` (100 in the middle, 0 at the ends), `high` and `low` (the position itself, and what it lacks of 100),
    `target` (a bell around `at`), `least` and `most` (100 from `at` on, or up to it, and the bell beyond).
    """
    kind: str
    at: float = 50.0
    within: float = 20.0

    def of(self, position: float) -> float:
        """Points, 0..100, at `position`, 0..100."""
        if self.kind == "typical":
            return 100 - abs(2 * position - 100)
        if self.kind in ("high", "low"):
            return position if self.kind == "high" else 100 - position
        reached = {"target": False, "least": position >= self.at, "most": position <= self.at}[self.kind]
        return 100.0 if reached else 100 * math.exp(-(((position - self.at) / self.within) ** 2) / 2)

    def over(self, low: float, high: float) -> tuple[float, float]:
        """The fewest and the most points between two positions."""
        low, high = max(0.0, low), min(100.0, high)
        turns = [at for at in (50.0 if self.kind == "typical" else self.at,) if low < at < high]
        points = [self.of(position) for position in (low, high, *turns)]
        return min(points), max(points)

    @property
    def average(self) -> float:
        """The mean over the tradition, whose positions are even from 0 to 100."""
        if self.kind in ("typical", "high", "low"):
            return 50.0
        below = self._bell(self.at) if self.kind != "most" else self.at
        above = self._bell(100 - self.at) if self.kind != "least" else 100 - self.at
        return below + above

    def _bell(self, reach: float) -> float:
        return self.within * math.sqrt(math.pi / 2) * math.erf(reach / self.within / math.sqrt(2))

    def __str__(self) -> str:
        words = {"typical": "typical", "high": "the more the better", "low": "the less the better",
                 "target": f"target {self.at:g} ± {self.within:g}", "least": f"at least {self.at:g}",
                 "most": f"at most {self.at:g}"}
        return words[self.kind]


TYPICAL, HIGH, LOW = Reading("typical"), Reading("high"), Reading("low")


class Signal(NamedTuple):
    """A measured column that speaks for a criterion.

    `direction` is -1 where less of the column is more of the criterion. `weight` None takes what the column weighs in
    the tradition (see `reference.independent_shares`); `reading` overrides the criterion's.
    """
    column: str
    direction: int = 1
    weight: float | None = None
    reading: Reading | None = None

    def place(self, percentile: float) -> float:
        """The column's percentile as a position of the criterion."""
        return percentile if self.direction > 0 else 100 - percentile


class Criterion(NamedTuple):
    """One question a teacher would ask, with the measured columns that answer it.

    `low` and `high` say what little and much of it look like. A bipolar criterion is a position between two poles and
    never counts. `asked` is set where a rubric names the criterion with a weight, so that leaving it out is an error.
    `aimed` are the signals that speak for it where a rubric wants more, less or a place of it, or names it though none
    of its signals counts by itself; none: the same signals. `aiming` is set where a rubric does want that of it: the
    signals are then the aimed ones and weigh alike; `usual` are those that it has otherwise, once a rubric has spoken
    of it. `star` is the name with a star, such as P*, by which a rubric counts it.
    `said` is what a critic says of little and of much of it, where `low` and `high` claim more than was measured.
    """
    id: str
    name: str
    question: str
    signals: tuple[Signal, ...]
    low: str = ""
    high: str = ""
    source: str = ""
    bipolar: bool = False
    weight: float = 1.0
    reading: Reading = TYPICAL
    asked: bool = False
    aimed: tuple[Signal, ...] = ()
    aiming: bool = False
    star: str = ""
    said: tuple[str, str] | None = None
    usual: tuple[Signal, ...] = ()

    @property
    def ends(self) -> tuple[str, str]:
        """What little and much of it look like, no further than what was measured tells."""
        return self.said or (self.low, self.high)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(signal.column for signal in self.signals)


class Rubric(NamedTuple):
    """What is judged. `shared`: a criterion weighs what its columns weigh in the tradition; otherwise all weigh alike.

    `plain` rubrics ask nothing but typicality with the weights of the tradition: only their score is ranked.
    `thesis` is what a critic holds, empty where none is asked.
    """
    title: str
    criteria: tuple[Criterion, ...]
    shared: bool = True
    plain: bool = True
    source: str = ""
    thesis: str = ""

    @property
    def manner(self) -> str:
        """How it judges, for the middle of a sentence: "by the default rubric", "after Paul Klee"."""
        return self.title if self.title.startswith("after ") else f"by {self.title}"
