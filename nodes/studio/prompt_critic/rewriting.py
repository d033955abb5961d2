"""A search for a better prompt: a vision-language model revises it, the revision is tried on the same seeds, and it is
kept only where the measured score rises.

`draw` and `write` are all it knows of models, so the loop runs as well with a person who answers.
"""
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from ...charts.chart_types.contact_sheet import thumbnail
from ...critique.score.judge import Critique
from ..cut_short import CUTS, why_it_ends
from .revision import Parameter, PromptCandidate, Revision, apply_revision, read

SHARES = (1.0, 0.5)  # a revision is tried in full, and after a rejection halved; then the best stands again
PATIENCE = 2  # rounds in a row with nothing accepted, after which it ends
SURE = 2.0  # standard errors over the seeds


class JudgedPictures(NamedTuple):
    """One picture [1, H, W, C] and one critique a seed; of what no longer matters the first picture alone, small."""
    pictures: list[Tensor]
    critiques: list[Critique]

    @property
    def scores(self) -> list[float]:
        return [critique.score for critique in self.critiques]

    @property
    def score(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def as_thumbnail(self) -> "JudgedPictures":
        """What a contact sheet needs of it: the pictures of all that is tried would fill the memory."""
        return self._replace(pictures=[thumbnail(self.pictures[0].cpu()[..., :3])[None]])


class ScoreGain(NamedTuple):
    """How far the score rose on the same seeds: the mean and its standard error; no error from a single seed."""
    mean: float
    error: float | None

    def convinces(self, margin: float) -> bool:
        return self.mean >= margin and (self.error is None or self.mean > SURE * self.error)


class Trial(NamedTuple):
    """A candidate that was tried; share: how much of the revision it is."""
    candidate: PromptCandidate
    judged: JudgedPictures
    share: float
    gain: ScoreGain
    accepted: bool


class SearchRules(NamedTuple):
    """rounds: at most; margin: points that the score must rise; space: the numbers that may be changed."""
    rounds: int
    margin: float
    space: dict[str, Parameter]


class PromptTools(NamedTuple):
    """draw(candidate, fresh): pictures on the seeds of the search, or on fresh ones that had no part in it.

    write(picture [1, H, W, C], instruction) -> what the model answers; instruct(search) -> what it is asked."""
    draw: Callable[[PromptCandidate, bool], JudgedPictures]
    write: Callable[[Tensor, str], str]
    instruct: Callable[["PromptSearch"], str]


@dataclass
class Round:
    """One question: the answer, what was read in it (None: nothing), and what was tried of it."""
    answer: str = ""
    revision: Revision | None = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return any(trial.accepted for trial in self.trials)


@dataclass
class PromptSearch:
    """The start, the best so far, every round, why it ended and whether before its end, and both on fresh seeds. Of the
    best alone the pictures are whole."""
    start: tuple[PromptCandidate, JudgedPictures]
    best: tuple[PromptCandidate, JudgedPictures]
    rounds: list[Round] = field(default_factory=list)
    ended: str = ""
    cut: bool = False
    fresh: tuple[JudgedPictures, JudgedPictures] | None = None


def rewrite(start: PromptCandidate, tools: PromptTools, rules: SearchRules) -> PromptSearch:
    """Asks, tries and keeps until the rounds are over or nothing is gained any more.

    A cancel, full memory or a device that is gone ends the search and keeps the best there is; before the start is
    drawn they are raised."""
    first = start, tools.draw(start, False)
    search = PromptSearch(first, first)
    del first
    try:
        while not search.ended:
            _round(search, tools, rules)
            search.ended = _over(search, rules)
        if search.best is not search.start:
            search.fresh = tuple(tools.draw(each[0], True).as_thumbnail for each in (search.start, search.best))
    except CUTS as error:
        if not (why := why_it_ends(error)):
            raise
        search.ended, search.cut = f"{why}; the best so far stands", True
    return search


def score_gain(before: JudgedPictures, after: JudgedPictures) -> ScoreGain:
    """Seed against seed."""
    steps = [new - old for old, new in zip(before.scores, after.scores, strict=True)]
    error = statistics.stdev(steps) / math.sqrt(len(steps)) if len(steps) > 1 else None
    return ScoreGain(statistics.fmean(steps), error)


def _round(search: PromptSearch, tools: PromptTools, rules: SearchRules) -> None:
    this = Round()
    instruction = tools.instruct(search)
    search.rounds.append(this)
    candidate, judged = search.best
    this.answer = tools.write(judged.pictures[0], instruction)
    this.revision = read(this.answer, rules.space, negative=candidate.negative is not None)
    for share in SHARES if this.revision else ():
        trial = apply_revision(candidate, this.revision, rules.space, share)
        if not _tried(search, trial):
            drawn = tools.draw(trial, False)
            gain = score_gain(judged, drawn)
            this.trials.append(Trial(trial, drawn.as_thumbnail, share, gain, gain.convinces(rules.margin)))
        if this.accepted:
            search.start = search.start[0], search.start[1].as_thumbnail
            search.best = trial, drawn
            return


def _tried(search: PromptSearch, candidate: PromptCandidate) -> bool:
    """Whether a candidate was drawn before: the same seeds would give the same pictures."""
    tried = (trial.candidate for each in search.rounds for trial in each.trials)
    return candidate == search.start[0] or candidate in tried


def _over(search: PromptSearch, rules: SearchRules) -> str:
    if len(search.rounds) >= rules.rounds:
        return f"all {rules.rounds} rounds are done" if rules.rounds > 1 else "the one round is done"
    last = search.rounds[-PATIENCE:]
    if len(last) == PATIENCE and not any(each.accepted for each in last):
        return f"nothing was accepted in {PATIENCE} rounds in a row"
    return ""
