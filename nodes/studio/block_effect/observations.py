"""Which group of blocks does what: pictures with some groups and without others, measured and shared out."""
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ...critique.examination import measurable, measured
from ...critique.reference.distributions import Reference
from ...critique.rubric.criteria import Criterion, Rubric
from ...critique.score.judge import judge, needed
from ..block_groups import GroupedLora
from ..cut_short import CUTS, why_it_ends
from ..sampling import SampledPicture, Sampling, shrunk_for_sheet
from ..shared_sampling import Share
from . import block_attribution
from .block_attribution import Attribution, AttributionPlan, Task

SCORE, PIXELS, LATENT = "score", "pixels", "latent"


class EffectSettings(NamedTuple):
    """What is drawn and how it is judged. Samples are numbered prompt by prompt, each with seeds from `seed` on."""
    sampling: Sampling
    seed: int
    seeds: int
    reference: Reference
    rubric: Rubric

    @property
    def samples(self) -> int:
        return self.sampling.prompts * self.seeds

    def draw(self, model, sample: int) -> SampledPicture:
        prompt, number = sample % self.sampling.prompts, sample // self.sampling.prompts
        return self.sampling.draw(model, prompt, (self.seed + number) % 2**64)

    def measure(self, picture: Tensor) -> dict[str, float]:
        return measured(picture[..., :3], needed(self.reference, self.rubric), self.reference)


class DrawnCoalition(NamedTuple):
    """measures: of the picture."""
    drawn: SampledPicture
    measures: dict[str, float]


class PictureChange(NamedTuple):
    """A picture [1, h, w, 3] of the first sample and where it differs from the base, 0..1 [h, w]; None: not drawn."""
    picture: Tensor
    difference: Tensor


class BlockEffects(NamedTuple):
    """quantities: what the columns of `attribution` are; ends [2, Q]: the means with no group and with all, over the
    samples that have both; shown: by group; base and other: the pictures with all and none, the one compared with
    first; drawn: how many pictures; cut: why no more were, "" where all are; uncounted: those of the quantities
    that did not count in the score of pictures of this size."""
    grouped: GroupedLora
    plan: AttributionPlan
    quantities: tuple[str, ...]
    attribution: Attribution
    ends: np.ndarray
    shown: list[PictureChange | None]
    base: PictureChange
    other: PictureChange
    drawn: int
    cut: str
    uncounted: tuple[str, ...] = ()


class CoalitionMeasurer:
    """Draws and measures the coalitions of one run; `last_picture` is the one drawn last, `uncounted`
    the names of the criteria that weighed nothing in it."""

    def __init__(self, grouped: GroupedLora, plan: AttributionPlan, settings: EffectSettings):
        self.grouped, self.plan, self.settings = grouped, plan, settings
        self.bases: dict[int, SampledPicture] = {}
        self.shown: dict[int, PictureChange] = {}
        self.last_picture: Tensor | None = None
        self.criteria, self.uncounted = counting(settings), ()

    def draw(self, task: Task) -> DrawnCoalition:
        """The picture of a coalition, of colours alone, measured."""
        weights = [float(task.coalition >> group & 1) for group in range(self.plan.groups)]
        drawn = self.settings.draw(self.grouped.weighted(weights), task.sample)
        drawn = SampledPicture(drawn.latent.cpu(), drawn.picture[..., :3].cpu())
        return DrawnCoalition(drawn, self.settings.measure(drawn.picture))

    def measure_each(self, share: Share = map) -> Iterator[np.ndarray]:
        """The vectors of the plan's tasks in their order, drawn by the devices of `share`."""
        tasks = self.plan.tasks()
        return (self.compare(task, *found) for task, found in zip(tasks, share(self.draw, tasks), strict=True))

    def compare(self, task: Task, drawn: SampledPicture, measures: dict[str, float]) -> np.ndarray:
        """The vector of a coalition: score, distance from the base in pixels and latent, points of each criterion."""
        base = self.bases.setdefault(task.sample, drawn)
        critique = judge(measures, self.settings.reference, self.settings.rubric)
        verdicts = {verdict.criterion.id: verdict for verdict in critique.verdicts}
        # By criterion: what counts in a picture depends on its size, and the columns must not.
        points = [verdicts[criterion.id].points for criterion in self.criteria]
        self.uncounted = tuple(each.name for each in self.criteria if not verdicts[each.id].weight)
        if task.sample == 0 and task.coalition in (0, self.plan.whole, *self.plan.singles):
            self.shown[task.coalition] = _shown(drawn.picture, base.picture)
        self.last_picture = drawn.picture
        # A distance from the whole is what is lost by leaving out, hence the sign.
        sign = -1.0 if self.plan.mode == "ablate" else 1.0
        return np.array([critique.score, sign * _pixels(drawn, base), sign * _latent(drawn, base), *points], float)


def measure_effects(grouped: GroupedLora, plan: AttributionPlan, settings: EffectSettings,
                    show: Callable[[Tensor, int], None], share: Share = map) -> BlockEffects:
    """Draws and measures the coalitions of the plan, and attributes the differences to the groups.

    `show` is told (picture, how many are done) and may cancel. A cancel, full memory or a device that is gone
    keeps what is known; before one group is they are raised."""
    measurer = CoalitionMeasurer(grouped, plan, settings)
    measurements, error = block_attribution.measure_all(
        plan, measurer.measure_each(share), lambda done: show(measurer.last_picture, done), CUTS)
    cut, attribution = why_it_ends(error) if error else "", block_attribution.attribute(plan, measurements)
    if error and (attribution is None or not cut):
        raise error
    both = [sample for sample in range(plan.samples)
            if Task(sample, 0) in measurements and Task(sample, plan.whole) in measurements]
    ends = np.array([np.mean([measurements[Task(sample, end)] for sample in both], 0) for end in (0, plan.whole)])
    shown = measurer.shown
    return BlockEffects(grouped, plan, quantities(settings), attribution, ends, [shown.get(c) for c in plan.singles],
                        shown[plan.base], shown[plan.whole ^ plan.base], len(measurements), cut,
                        measurer.uncounted)


def _pixels(drawn: SampledPicture, base: SampledPicture) -> float:
    """Mean absolute difference of the pictures, in levels of 255."""
    return 255 * (drawn.picture - base.picture).abs().double().mean().item()


def _latent(drawn: SampledPicture, base: SampledPicture) -> float:
    """Root mean square of the difference of the latents, in % of that of the base."""
    size = base.latent.double().square().mean().sqrt().item()
    return 100 * (drawn.latent - base.latent).double().square().mean().sqrt().item() / max(size, 1e-12)


def _shown(picture: Tensor, base: Tensor) -> PictureChange:
    difference = (picture - base).abs().mean(-1, keepdim=True)
    return PictureChange(shrunk_for_sheet(picture), shrunk_for_sheet(difference)[0, ..., 0])


def quantities(settings: EffectSettings) -> tuple[str, ...]:
    """What is measured of every picture: the score, two distances, and the criteria of `counting`."""
    return (SCORE, PIXELS, LATENT, *(criterion.name for criterion in counting(settings)))


def counting(settings: EffectSettings) -> list[Criterion]:
    """The criteria that count in the score of a picture of full size."""
    reference = settings.reference
    known = needed(reference, settings.rubric) & measurable(reference)
    middle = {column: reference.quantiles[column][50] for column in known}
    return [verdict.criterion for verdict in judge(middle, reference, settings.rubric).counted]


def chosen(value: str, names: tuple[str, ...]) -> str:
    """The quantity that was asked for, by its name. Raises ValueError with those there are."""
    found = next((name for name in names if name.lower() == value.strip().lower()), None)
    if not found:
        raise ValueError(f'value: expected one of {", ".join(names)}, got "{value}"')
    return found
