"""What differs between versions, criterion by criterion and measure by measure, beside the noise of neutral edits."""
from typing import NamedTuple

from ..reference.distributions import Reference
from ..rubric.criteria import TYPICAL
from ..score.judge import judge
from .neutral_noise import noise
from .versions import Comparison, Version


class Difference(NamedTuple):
    """The lowest and the highest value of something over the versions, which are numbered from 1.

    `noise` is how far an edit that leaves a picture as it is moves it; None where that was not measured."""
    name: str
    low: float
    low_at: int
    high: float
    high_at: int
    noise: float | None

    @property
    def range(self) -> float:
        return self.high - self.low

    @property
    def is_real(self) -> bool:
        """Whether it exceeds the noise; False where the noise is not known."""
        return self.noise is not None and self.range > self.noise

    @property
    def strength(self) -> float:
        """How many times the noise it is."""
        return self.range / max(self.noise, 1e-9) if self.noise is not None else 0.0


def criteria(found: Comparison) -> list[Difference]:
    """Of the points of every criterion, 0..100, in the order of the rubric.

    The noise is that of the default rubric's criteria among the paintings: a criterion that a rubric asks for
    otherwise, or reads from other measures, has none, nor has any among other pictures."""
    usual = [_usual(version, found.reference) for version in found.versions]
    rows = []
    for place, verdict in enumerate(found.versions[0].critique.verdicts):
        points = [each.critique.verdicts[place].points for each in found.versions]
        if None not in points:
            alike = verdict.criterion.reading == TYPICAL and points == [
                each.get(verdict.criterion.id) for each in usual]
            rows.append(_over(verdict.criterion.name, points, noise().criteria.get(verdict.criterion.id)
                              if alike else None))
    return rows


def _usual(version: Version, reference: Reference) -> dict[str, float | None]:
    """The points by the default rubric, by the ids of its criteria, where their noise is known."""
    if not reference.is_paintings:
        return {}
    if version.critique.rubric.plain:
        return {verdict.criterion.id: verdict.points for verdict in version.critique.verdicts}
    return {verdict.criterion.id: verdict.points for verdict in judge(version.critique.measures, reference).verdicts}


def columns(found: Comparison) -> list[Difference]:
    """Of every measure, those that exceed their noise most first."""
    first = found.versions[0].critique.measures
    rows = [_over(name, [each.critique.measures[name] for each in found.versions], noise().columns.get(name))
            for name in first if all(name in each.critique.measures for each in found.versions)]
    return sorted(rows, key=lambda row: -row.strength)


def _over(name: str, values: list[float], usual: float | None) -> Difference:
    low, high = min(values), max(values)
    return Difference(name, low, values.index(low) + 1, high, values.index(high) + 1, usual)
