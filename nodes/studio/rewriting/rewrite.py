"""A prompt revised by a critic that sees: asked, tried on the same seeds, kept only where the measured score rises.

`draw` and `write` are all it knows of models, so the loop runs as well with a person who answers.
"""
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import comfy.model_management
from torch import Tensor

from ...critique.score import Critique
from .revision import Parameter, Revision, Take, applied, read

SHARES = (1.0, 0.5)  # a revision is tried in full, and after a rejection halved; then the best stands again
PATIENCE = 2  # rounds in a row with nothing accepted, after which it ends
SURE = 2.0  # standard errors over the seeds


class Shot(NamedTuple):
    """One picture [1, H, W, C] and one critique a seed."""
    pictures: list[Tensor]
    critiques: list[Critique]

    @property
    def scores(self) -> list[float]:
        return [critique.score for critique in self.critiques]

    @property
    def score(self) -> float:
        return statistics.fmean(self.scores)


class Rise(NamedTuple):
    """How far the score rose on the same seeds: the mean and its standard error; no error from a single seed."""
    mean: float
    error: float | None

    def convinces(self, margin: float) -> bool:
        return self.mean >= margin and (self.error is None or self.mean > SURE * self.error)


class Trial(NamedTuple):
    """A take that was tried; share: how much of the revision it is."""
    take: Take
    shot: Shot
    share: float
    rise: Rise
    accepted: bool


class Rules(NamedTuple):
    """rounds: at most; margin: points that the score must rise; space: the numbers that may be changed."""
    rounds: int
    margin: float
    space: dict[str, Parameter]


class Work(NamedTuple):
    """draw(take, fresh): pictures on the seeds of the search, or on fresh ones that had no part in it.

    write(picture [1, H, W, C], instruction) -> what the model answers; instruct(found) -> what it is asked."""
    draw: Callable[[Take, bool], Shot]
    write: Callable[[Tensor, str], str]
    instruct: Callable[["Found"], str]


@dataclass
class Round:
    """One question: the answer, what was read in it (None: nothing), and what was tried of it."""
    said: str = ""
    asked: Revision | None = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return any(trial.accepted for trial in self.trials)


@dataclass
class Found:
    """The start, the best so far, every round, why it ended or that it was cancelled, and both on fresh seeds."""
    start: tuple[Take, Shot]
    best: tuple[Take, Shot]
    rounds: list[Round] = field(default_factory=list)
    ended: str = ""
    cancelled: bool = False
    fresh: tuple[Shot, Shot] | None = None


def rewrite(start: Take, work: Work, rules: Rules) -> Found:
    """Asks, tries and keeps until the rounds are over or nothing is gained any more.

    A cancel ends the search and keeps the best there is; before the start is drawn it is a cancel."""
    first = start, work.draw(start, False)
    found = Found(first, first)
    try:
        while not found.ended:
            _round(found, work, rules)
            found.ended = _over(found, rules)
        if found.best is not found.start:
            found.fresh = work.draw(found.start[0], True), work.draw(found.best[0], True)
    except comfy.model_management.InterruptProcessingException:
        found.ended, found.cancelled = "cancelled; the best so far stands", True
    return found


def rise(before: Shot, after: Shot) -> Rise:
    """Seed against seed."""
    steps = [new - old for old, new in zip(before.scores, after.scores, strict=True)]
    error = statistics.stdev(steps) / math.sqrt(len(steps)) if len(steps) > 1 else None
    return Rise(statistics.fmean(steps), error)


def _round(found: Found, work: Work, rules: Rules) -> None:
    this = Round()
    instruction = work.instruct(found)
    found.rounds.append(this)
    take, shot = found.best
    this.said = work.write(shot.pictures[0], instruction)
    this.asked = read(this.said, rules.space, negative=take.negative is not None)
    for share in SHARES if this.asked else ():
        trial = applied(take, this.asked, rules.space, share)
        if not _tried(found, trial):
            drawn = work.draw(trial, False)
            gain = rise(shot, drawn)
            this.trials.append(Trial(trial, drawn, share, gain, gain.convinces(rules.margin)))
        if this.accepted:
            found.best = trial, drawn
            return


def _tried(found: Found, take: Take) -> bool:
    """Whether a take was drawn before: the same seeds would give the same pictures."""
    return take == found.start[0] or any(take == trial.take for each in found.rounds for trial in each.trials)


def _over(found: Found, rules: Rules) -> str:
    if len(found.rounds) >= rules.rounds:
        return f"all {rules.rounds} rounds are done" if rules.rounds > 1 else "the one round is done"
    last = found.rounds[-PATIENCE:]
    if len(last) == PATIENCE and not any(each.accepted for each in last):
        return f"nothing was accepted in {PATIENCE} rounds in a row"
    return ""
