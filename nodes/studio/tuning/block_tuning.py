"""Finds the weights of a LoRA's groups of blocks that best meet a rubric and stay close to what is held up to them."""
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ...critique.compare.veto import why_spoiled
from ...critique.examination import measured
from ...critique.reference.distributions import Reference
from ...critique.rubric.criteria import Rubric
from ...critique.score.judge import judge, needed
from ..block_groups import GroupedLora
from ..cut_short import CANCELLED, CUTS, why_it_ends
from ..sampling import Sampling, shrunk_for_sheet
from ..shared_sampling import Share
from .likeness import Likeness
from .search import Weights, search

LOW, HIGH = 0.0, 1.5
LEAST_GAIN = 0.05  # points by which the goal has to rise for the search to count as going on


class TuningGoal(NamedTuple):
    """What is drawn and wanted: (1 - closeness) x score + closeness x likeness, 0..100, the mean over samples.

    Samples are numbered prompt by prompt; those that the search sees come first, the held-out ones after them."""
    sampling: Sampling
    seed: int
    seeds: int
    held_out: int
    tradition: Reference
    rubric: Rubric
    likeness: Likeness | None
    closeness: float

    @property
    def search_samples(self) -> range:
        return range(self.seeds * self.sampling.prompts)

    @property
    def held_out_samples(self) -> range:
        return range(self.search_samples.stop, self.search_samples.stop + self.held_out * self.sampling.prompts)

    def draw(self, model, sample: int) -> Tensor:
        """IMAGE [1, H, W, 3]."""
        prompt, number = sample % self.sampling.prompts, sample // self.sampling.prompts
        return self.sampling.draw(model, prompt, (self.seed + number) % 2**64).picture[..., :3].cpu()

    def evaluate(self, picture: Tensor) -> tuple[float, float, float]:
        """(goal, score, likeness) of a picture; likeness NaN where nothing is held up to it."""
        columns = needed(self.tradition, self.rubric) | (self.likeness.columns if self.likeness else set())
        measures = measured(picture, columns, self.tradition)
        score = judge(measures, self.tradition, self.rubric).score
        if not self.likeness:
            return score, score, float("nan")
        near = self.likeness.of(measures)
        return (1 - self.closeness) * score + self.closeness * near, score, near


class Trial(NamedTuple):
    """Weights, and (goal, score, likeness) of each sample drawn with them: [samples, 3]."""
    weights: Weights
    marks: np.ndarray

    @property
    def value(self) -> float:
        return float(self.marks[:, 0].mean())


class HeldOut(NamedTuple):
    """Marks [samples, 3] on held-out seeds of no LoRA, the whole LoRA, the best single weight for all of it and the
    tuned one, and pictures of all but that weight; spoiled: why each tuned picture looks spoiled in light and colour
    beside that of the whole LoRA, "" where it does not."""
    zeros: Trial
    ones: Trial
    uniform: Trial
    tuned: Trial
    pictures: list[tuple[Tensor, Tensor, Tensor]]
    spoiled: list[str]

    @property
    def gain(self) -> tuple[float, float]:
        """What tuning adds to the whole LoRA."""
        return self.over_ones(self.tuned)

    def over_ones(self, trial: Trial) -> tuple[float, float]:
        """(mean, standard error) of what weights add to the whole LoRA, picture by picture; NaN where there is one."""
        gains = trial.marks[:, 0] - self.ones.marks[:, 0]
        return float(gains.mean()), float(gains.std(ddof=1) / len(gains) ** 0.5) if len(gains) > 1 else float("nan")


class TuningResult(NamedTuple):
    """trials in the order they were made, the whole LoRA and none of it first; ended: why the search did.

    held_out: the held-out samples that were looked at, None where there are none or a cancel came before the first."""
    grouped: GroupedLora
    trials: list[Trial]
    method: str
    ended: str
    held_out: HeldOut | None
    cut: str

    @property
    def best(self) -> Trial:
        """The best on the seeds that the search saw; of equals the first."""
        return max(self.trials, key=lambda trial: trial.value)

    @property
    def kept(self) -> Weights:
        """The best of the search; the whole LoRA or one weight for all of it, where that is at least as good on seeds
        the search has not seen."""
        if not self.held_out:
            return self.best.weights
        held_out = self.held_out
        return max((held_out.ones, held_out.uniform, held_out.tuned), key=lambda trial: trial.value).weights


class Tuner:
    """One run: counts pictures and tells `show` (picture, how many are done), which may cancel. share: the devices
    that draw the pictures of a set of weights together."""

    def __init__(self, grouped: GroupedLora, goal: TuningGoal, show: Callable[[Tensor, int], None],
                 share: Share = map):
        self.grouped, self.goal, self.show, self.share, self.done = grouped, goal, show, share, 0
        self.last: tuple | None = None
        self.trials: list[Trial] = []
        self.held_out: list[tuple[tuple, tuple, str]] = []

    def run(self, method: str, budget: int, patience: int) -> TuningResult:
        """Searches with at most `budget` different weights, then looks at the held-out seeds.

        A cancel, full memory or a device that is gone keeps the best so far; before the whole LoRA is known they are
        raised."""
        name, ended, cut = method, "", ""
        try:
            self.trials.append(self.trial((1.0,) * len(self.grouped.groups), self.goal.search_samples))
            self.trials.append(self.trial((0.0,) * len(self.grouped.groups), self.goal.search_samples))
            first = self.trials[0]
            name, asking = search(method, first.weights, first.value, LOW, HIGH, self.goal.seed)
            ended = self.run_search(asking, budget, patience)
            self.evaluate_held_out()
        except CUTS as error:
            cut = why_it_ends(error)
            if not (self.trials and cut):
                raise
            ended = ended or ("it was cancelled" if cut == CANCELLED else cut)
        return TuningResult(self.grouped, self.trials, name, ended, self.held_out_result(), cut)

    def run_search(self, asking, budget: int, patience: int) -> str:
        """Answers a search until it, the budget or the patience ends; says which."""
        known = {trial.weights: trial.value for trial in self.trials}
        best, since, answer = max(known.values()), 0, None
        repeats = 0
        while len(self.trials) < budget:
            try:
                weights = asking.send(answer)
            except StopIteration:
                return "it found no better neighbour"
            repeats = repeats + 1 if weights in known else 0
            if repeats > 50:  # it asks for nothing new
                return "it found no better neighbour"
            if weights not in known:
                self.trials.append(self.trial(weights, self.goal.search_samples))
                known[weights] = self.trials[-1].value
                since = 0 if known[weights] > best + LEAST_GAIN else since + 1
                best = max(best, known[weights])
            answer = known[weights]
            if patience and since >= patience:
                return f"nothing better came in {patience} evaluations"
        return f"the budget of {budget} was used"

    def compared_weights(self) -> tuple[Weights, Weights, Weights, Weights]:
        """None of the LoRA, the whole of it, the best single weight above 0 for all of it, and the best."""
        alike = [trial for trial in self.trials if len(set(trial.weights)) == 1 and any(trial.weights)]
        best, level = (max(trials, key=lambda trial: trial.value).weights for trials in (self.trials, alike))
        return (0.0,) * len(best), (1.0,) * len(best), level, best

    def evaluate_held_out(self) -> None:
        """Draws and marks the held-out seeds."""
        compared = self.compared_weights()
        different, samples = list(dict.fromkeys(compared)), self.goal.held_out_samples
        marked = self.share(self.draw, [(each, sample) for sample in samples for each in different])
        for _ in samples:
            drawn, marks = zip(*islice(marked, len(different)), strict=True)
            drawn, marks = dict(zip(different, drawn, strict=True)), dict(zip(different, marks, strict=True))
            none, ones, _, best = compared
            self.held_out.append((tuple(shrunk_for_sheet(drawn[each]) for each in (none, ones, best)),
                                tuple(marks[each] for each in compared),
                                "" if best == ones else why_spoiled(drawn[best], drawn[ones])))
            self.done += len(compared)
            self.show(drawn[best], self.done)

    def held_out_result(self) -> HeldOut | None:
        if not self.held_out:
            return None
        pictures, marks, spoiled = zip(*self.held_out, strict=True)
        trials = [Trial(each, np.array(marks)[:, number]) for number, each in enumerate(self.compared_weights())]
        return HeldOut(*trials, list(pictures), list(spoiled))

    def draw(self, job: tuple[Weights, int]) -> tuple[Tensor, tuple[float, float, float]]:
        """(picture, its goal, score and likeness) of (weights, sample)."""
        weights, sample = job
        picture = self.goal.draw(self.weighted(weights), sample)
        return picture, self.goal.evaluate(picture)

    def weighted(self, weights: Weights):
        """The model with these weights; that of the last ones is kept."""
        if self.last is None or self.last[0] != weights:
            self.last = weights, self.grouped.weighted(weights)
        return self.last[1]

    def trial(self, weights: Weights, samples: range) -> Trial:
        marks = []
        for picture, mark in self.share(self.draw, [(weights, sample) for sample in samples]):
            marks.append(mark)
            self.done += 1
            self.show(picture, self.done)
        return Trial(weights, np.array(marks))
