"""What to try: the smallest edit that raises a weak criterion, sought on a small copy and confirmed at full size."""
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..measures import MEASURES
from ..picture.planes import LONGEST_SHAPE, SHORTEST_SIDE, Picture
from ..reference.distributions import Reference
from ..rubric.criteria import Criterion
from ..score.judge import Critique, judge
from .edits import EDITS, Edit

POINTS = 10.0  # how far a criterion should rise
WEAKEST = 2  # criteria that are looked at
LADDER = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the most that an edit can do
HALVINGS = 3
FURTHER = 1.3  # times as far, where the full picture moves less than its small copy
COPY = 256  # the longer side of the small copy
STEPS = len(EDITS) * len(LADDER) + WEAKEST * (HALVINGS + 2)  # at most, for a picture
NOTED = 2.0  # points; smaller side effects are not worth a word

PAINTABLE = frozenset({"RMS contrast", "Luminance entropy", "Color entropy", "mean S channel", "std S channel",
                       "std a channel", "std b channel (Lab)", "mean L channel", "Colorfulness", "Warm-cold contrast",
                       "Complementary contrast", "DCM distance", "Balance", "Tilt", "Mirror symmetry", "Homogeneity",
                       "Likeness left-right", "Likeness up-down", "Likeness half-turn", "Otsu separability"})
"""What such edits move, and a small copy shows as well as the picture."""


class Counterfactual(NamedTuple):
    """An edit that was done and measured: criterion points and score before and after, and what else moved."""
    criterion: str
    edit: str
    amount: float
    points: tuple[float, float]
    score: tuple[float, float]
    side_effects: dict[str, float]


class EditSearch(NamedTuple):
    """What a search starts from; `remeasure` gives the measures of an edited picture by column, as its critique has
    them."""
    picture: Picture
    critique: Critique
    reference: Reference
    remeasure: Callable[[Picture], dict[str, float]]
    step: Callable[[], None]

    def judged(self, measures: dict[str, float]) -> Critique:
        return judge({**self.critique.measures, **measures}, self.reference, self.critique.rubric)


class SmallCopy:
    """What edits do to a small copy, each measured once: the change of its columns is taken for that of the picture."""

    def __init__(self, search: EditSearch, criteria: Sequence[Criterion]):
        self.search = search
        used = {signal.column for verdict in search.critique.counted for signal in verdict.used
                if verdict.criterion in criteria}
        self.columns = sorted(used & PAINTABLE)
        width, height = search.picture.size
        self.picture = search.picture.at_longer_side(min(COPY, max(width, height)))
        self.before, self.after = self._measured(self.picture), {}

    def critique(self, edit: Edit, amount: float) -> Critique | None:
        """As the picture would be judged after an edit; None where nothing measurable is left."""
        if (edit, amount) not in self.after:
            self.search.step()
            changed = apply(self.picture, edit, amount)
            self.after[edit, amount] = changed and self._shifted(changed)
        return self.after[edit, amount]

    def _shifted(self, changed: Picture) -> Critique:
        now, known = self._measured(changed), self.search.critique.measures
        return self.search.judged({column: known[column] + now[column] - self.before[column]
                                   for column in self.columns})

    def _measured(self, picture: Picture) -> dict[str, float]:
        return {column: MEASURES[column](picture).item() for column in self.columns}


def counterfactuals(search: EditSearch, criteria: Sequence[Criterion] | None = None,
                    points: float = POINTS) -> list[Counterfactual]:
    """For each criterion the edit that raises it by `points` with the smallest share of its most, as measured at full
    size. Without `criteria` the two weakest are looked at of those that such edits can move. What cannot be moved so
    far has no entry."""
    criteria = weakest(search.critique) if criteria is None else criteria
    copy = SmallCopy(search, criteria)
    found = (_confirmed(search, copy, criterion, points) for criterion in criteria)
    return [each for each in found if each]


def weakest(critique: Critique) -> list[Criterion]:
    """The criteria that take most from the score, or give least, of those that a painter could change by an edit."""
    order = sorted(critique.counted, key=lambda verdict: verdict.contribution)
    return [verdict.criterion for verdict in order if _paintable(verdict)][:WEAKEST]


def smallest(copy: SmallCopy, criterion: Criterion, edit: Edit, points: float) -> float | None:
    """The first rung of an edit that raises a criterion of the small copy by `points`; None where none does."""
    goal = points_of(copy.search.critique, criterion) + points
    return next((rung * edit.most for rung in LADDER if _points(copy, criterion, edit, rung * edit.most) >= goal), None)


def apply(picture: Picture, edit: Edit, amount: float) -> Picture | None:
    """A picture after an edit, at its own size; None where nothing measurable is left."""
    changed = Picture(edit.apply(picture.rgb, amount), picture.dtype)
    width, height = changed.size
    if min(width, height) < SHORTEST_SIDE or max(width, height) > LONGEST_SHAPE * min(width, height):
        return None
    return changed


def edit_of(found: Counterfactual) -> Edit:
    """The edit that a finding speaks of."""
    return next(edit for edit in EDITS if edit.say(found.amount) == found.edit)


def points_of(critique: Critique, criterion: Criterion) -> float:
    return next(verdict.points for verdict in critique.verdicts if verdict.criterion.id == criterion.id)


def words(found: Counterfactual) -> str:
    """One sentence: the edit, the criterion before and after, the score, and what else moved."""
    others = ", ".join(f"{name} {change:+.0f}" for name, change in found.side_effects.items()) or "nothing else moves"
    return (f"**{found.criterion}** {found.points[0]:.0f} -> {found.points[1]:.0f}: {found.edit}. Score "
            f"{found.score[0]:.1f} -> {found.score[1]:.1f}; side effects: {others}.")


def in_short(found: Counterfactual) -> str:
    """The same in a line, for the node on the page."""
    return (f"{found.edit}: **{found.criterion}** {found.points[0]:.0f} -> {found.points[1]:.0f}, "
            f"score {found.score[0]:.1f} -> {found.score[1]:.1f}")


def _confirmed(search: EditSearch, copy: SmallCopy, criterion: Criterion, points: float) -> Counterfactual | None:
    reached = [(amount / edit.most, number) for number, edit in enumerate(EDITS)
               if (amount := smallest(copy, criterion, edit, points)) is not None]
    if not reached:
        return None
    share, number = min(reached)
    edit = EDITS[number]
    amount = _halved(copy, criterion, edit, share * edit.most, points)
    for further in (amount, min(FURTHER * amount, edit.most)):
        found = _measured(search, criterion, edit, further)
        if found and found.points[1] >= found.points[0] + points:
            return found
    return None


def _halved(copy: SmallCopy, criterion: Criterion, edit: Edit, above: float, points: float) -> float:
    """Between a rung that does and the one below it, the smallest amount that HALVINGS find."""
    goal = points_of(copy.search.critique, criterion) + points
    below = above / 2 if above > LADDER[0] * edit.most else 0.0
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        if _points(copy, criterion, edit, middle) >= goal:
            above = middle
        else:
            below = middle
    return above


def _points(copy: SmallCopy, criterion: Criterion, edit: Edit, amount: float) -> float:
    judged = copy.critique(edit, amount)
    return -1.0 if judged is None else points_of(judged, criterion)


def _paintable(verdict) -> bool:
    return bool(verdict.used) and {signal.column for signal in verdict.used} <= PAINTABLE


def _measured(search: EditSearch, criterion: Criterion, edit: Edit, amount: float) -> Counterfactual | None:
    """The edit done to the picture itself, everything measured again."""
    search.step()
    before, changed = search.critique, apply(search.picture, edit, amount)
    if changed is None:
        return None
    after = search.judged(search.remeasure(changed))
    moved = {v.criterion.name: now.points - v.points for v, now in zip(before.verdicts, after.verdicts, strict=True)
             if v.points is not None and now.points is not None and v.criterion.id != criterion.id}
    side = {name: change for name, change in sorted(moved.items(), key=lambda item: -abs(item[1]))
            if abs(change) >= NOTED}
    return Counterfactual(criterion.name, edit.say(amount), amount,
                          (points_of(before, criterion), points_of(after, criterion)),
                          (before.score, after.score), side)
