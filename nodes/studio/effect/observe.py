"""Which group of blocks does what: pictures with some groups and without others, measured and shared out."""
from collections.abc import Callable
from typing import NamedTuple

import comfy.model_management
import numpy as np
from torch import Tensor

from ...critique import space
from ...critique.criteria import Rubric
from ...critique.critic import judge_only
from ...critique.measures import FILTERED, MEASURES, filter_bank
from ...critique.reference import Reference
from ...critique.score import judge, needed
from ..groups import Divided
from ..sampling import Drawn, Sampling, reduced
from . import game
from .game import Game, Task, Values

SCORE, PIXELS, LATENT = "score", "pixels", "latent"


class Sitting(NamedTuple):
    """What is drawn and how it is judged. Samples are numbered prompt by prompt, each with seeds from `seed` on."""
    sampling: Sampling
    seed: int
    seeds: int
    reference: Reference
    rubric: Rubric

    @property
    def samples(self) -> int:
        return self.sampling.prompts * self.seeds

    def draw(self, model, sample: int) -> Drawn:
        prompt, number = sample % self.sampling.prompts, sample // self.sampling.prompts
        return self.sampling.draw(model, prompt, (self.seed + number) % 2**64)

    def judge(self, picture: Tensor):
        return judge_only(picture[..., :3], self.reference, self.rubric)


class Shown(NamedTuple):
    """A picture [1, h, w, 3] of the first sample and where it differs from the base, 0..1 [h, w]; None: not drawn."""
    picture: Tensor
    difference: Tensor


class Effects(NamedTuple):
    """quantities: what the columns of `values` are; ends [2, Q]: the means with no group and with all, over the
    samples that have both; shown: by group; base and other: the pictures with all and none, the one compared with
    first; drawn: how many pictures; cancelled: whether it was, before all were."""
    divided: Divided
    played: Game
    quantities: tuple[str, ...]
    values: Values
    ends: np.ndarray
    shown: list[Shown | None]
    base: Shown
    other: Shown
    drawn: int
    cancelled: bool


class Viewer:
    """Draws and measures the coalitions of one run; `last` is the picture drawn last."""

    def __init__(self, divided: Divided, played: Game, sitting: Sitting):
        self.divided, self.played, self.sitting = divided, played, sitting
        self.bases: dict[int, Drawn] = {}
        self.shown: dict[int, Shown] = {}
        self.last: Tensor | None = None

    def worth(self, task: Task) -> np.ndarray:
        """The vector of a coalition: score, distance from the base in pixels and latent, points of each criterion."""
        weights = [float(task.coalition >> player & 1) for player in range(self.played.players)]
        drawn = self.sitting.draw(self.divided.weighted(weights), task.sample)
        drawn = Drawn(drawn.latent.cpu(), drawn.picture[..., :3].cpu())
        base = self.bases.setdefault(task.sample, drawn)
        critique = self.sitting.judge(drawn.picture)
        points = [verdict.points for verdict in critique.counted]
        if task.sample == 0 and task.coalition in (0, self.played.whole, *self.played.singles):
            self.shown[task.coalition] = _shown(drawn.picture, base.picture)
        self.last = drawn.picture
        # A distance from the whole is what is lost by leaving out, hence the sign.
        sign = -1.0 if self.played.mode == "ablate" else 1.0
        return np.array([critique.score, sign * _pixels(drawn, base), sign * _latent(drawn, base), *points])


def observe(divided: Divided, played: Game, sitting: Sitting, show: Callable[[Tensor, int], None]) -> Effects:
    """Draws what the game asks for and shares it out; `show` is told (picture, how many are done) and may cancel.

    A cancel that comes before one group is known is a cancel."""
    viewer, interrupted = Viewer(divided, played, sitting), comfy.model_management.InterruptProcessingException
    worths, cancelled = game.play(played, viewer.worth, lambda done: show(viewer.last, done), interrupted)
    values = game.values(played, worths)
    if values is None:
        raise interrupted()
    both = [sample for sample in range(played.samples)
            if Task(sample, 0) in worths and Task(sample, played.whole) in worths]
    ends = np.array([np.mean([worths[Task(sample, end)] for sample in both], 0) for end in (0, played.whole)])
    return Effects(divided, played, quantities(sitting), values, ends, [viewer.shown.get(c) for c in played.singles],
                   viewer.shown[played.base], viewer.shown[played.whole ^ played.base], len(worths), cancelled)


def _pixels(drawn: Drawn, base: Drawn) -> float:
    """Mean absolute difference of the pictures, in levels of 255."""
    return 255 * (drawn.picture - base.picture).abs().double().mean().item()


def _latent(drawn: Drawn, base: Drawn) -> float:
    """Root mean square of the difference of the latents, in % of that of the base."""
    size = base.latent.double().square().mean().sqrt().item()
    return 100 * (drawn.latent - base.latent).double().square().mean().sqrt().item() / max(size, 1e-12)


def _shown(picture: Tensor, base: Tensor) -> Shown:
    return Shown(reduced(picture), reduced((picture - base).abs().mean(-1, keepdim=True))[0, ..., 0])


def quantities(sitting: Sitting) -> tuple[str, ...]:
    """What is measured of every picture: the score, two distances, and the criteria that count in the score."""
    known = {*MEASURES, *space.BY_HEIGHT, *(FILTERED if filter_bank.find(filter_bank.folders()) else ())}
    reference = sitting.reference
    middle = {column: reference.quantiles[column][50] for column in needed(reference, sitting.rubric) & known}
    return (SCORE, PIXELS, LATENT, *(v.criterion.name for v in judge(middle, reference, sitting.rubric).counted))


def chosen(value: str, names: tuple[str, ...]) -> str:
    """The quantity that was asked for, by its name. Raises ValueError with those there are."""
    found = next((name for name in names if name.lower() == value.strip().lower()), None)
    if not found:
        raise ValueError(f'value: expected one of {", ".join(names)}, got "{value}"')
    return found
