"""What would change the critique: the smallest edit that moves a criterion, found by doing it and measuring again."""
from collections.abc import Callable
from typing import NamedTuple

from .criteria import Criterion
from .edits import EDITS, Edit
from .measures import MEASURES
from .picture import LONGEST_SHAPE, SHORTEST_SIDE, Picture
from .reference import Reference
from .score import Critique, judge

POINTS = 10.0  # how far a criterion should rise
WEAKEST = 2  # criteria that are looked at
LADDER = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the most that an edit can do
HALVINGS = 3
STEPS = WEAKEST * len(EDITS) * (len(LADDER) + HALVINGS)  # at most, for a picture
NOTED = 2.0  # points; smaller side effects are not worth a word


class Counterfactual(NamedTuple):
    """An edit that was done and measured: criterion points and score before and after, and what else moved."""
    criterion: str
    edit: str
    amount: float
    points: tuple[float, float]
    score: tuple[float, float]
    side_effects: dict[str, float]


class Session(NamedTuple):
    """What a search starts from; `remeasure` gives the measures of an edited picture by column."""
    picture: Picture
    critique: Critique
    reference: Reference
    remeasure: Callable[[Picture], dict[str, float]]
    side: int
    step: Callable[[], None]

    def edited(self, edit: Edit, amount: float) -> Picture | None:
        """The picture after an edit, at the size of the reference; None where nothing measurable is left."""
        changed = Picture(edit.apply(self.picture.rgb, amount), self.picture.dtype)
        width, height = changed.size
        if min(width, height) < SHORTEST_SIDE or max(width, height) > LONGEST_SHAPE * min(width, height):
            return None
        return changed.at_longer_side(self.side)

    def points(self, criterion: Criterion, edit: Edit, amount: float) -> float:
        """The points of a criterion after an edit: only its own columns are measured again."""
        self.step()
        picture = self.edited(edit, amount)
        if picture is None:
            return -1.0
        again = {column: MEASURES[column](picture).item() for column in criterion.columns
                 if column in MEASURES and column in self.critique.percentiles}
        return points_of(judge({**self.critique.measures, **again}, self.reference, self.critique.rubric), criterion)


def counterfactuals(session: Session, criteria: list[Criterion] | None = None,
                    points: float = POINTS) -> list[Counterfactual]:
    """For each criterion and each family of edits the smallest edit that raises it by `points`, by share of its most.

    Without `criteria` those that take most from the score, or give least, are looked at. What cannot be moved so far by
    any edit of a family has no entry.
    """
    found = []
    for criterion in weakest(session.critique) if criteria is None else criteria:
        reached = [(amount / edit.most, edit, amount) for edit in EDITS
                   if (amount := smallest(session, criterion, edit, points)) is not None]
        for family in dict.fromkeys(edit.family for edit in EDITS):
            own = [entry for entry in reached if entry[1].family == family]
            if own:
                found.append(_measured(session, criterion, *min(own, key=lambda entry: entry[0])[1:]))
    return found


def weakest(critique: Critique) -> list[Criterion]:
    """The criteria that take most from the score, or give least."""
    order = sorted(critique.counted, key=lambda verdict: verdict.contribution)
    return [verdict.criterion for verdict in order[:WEAKEST]]


def smallest(session: Session, criterion: Criterion, edit: Edit, points: float) -> float | None:
    """The smallest amount of an edit that raises a criterion by `points`; None where none on the ladder does."""
    goal, below = points_of(session.critique, criterion) + points, 0.0
    for rung in LADDER:
        if session.points(criterion, edit, rung * edit.most) >= goal:
            above = rung * edit.most
            for _ in range(HALVINGS):
                middle = (below + above) / 2
                if session.points(criterion, edit, middle) >= goal:
                    above = middle
                else:
                    below = middle
            return above
        below = rung * edit.most
    return None


def points_of(critique: Critique, criterion: Criterion) -> float:
    return next(verdict.points for verdict in critique.verdicts if verdict.criterion.id == criterion.id)


def words(found: Counterfactual) -> str:
    """One sentence: the edit, the criterion before and after, the score, and what else moved."""
    others = ", ".join(f"{name} {change:+.0f}" for name, change in found.side_effects.items()) or "nothing else moves"
    return (f"**{found.criterion}** {found.points[0]:.0f} -> {found.points[1]:.0f}: {found.edit}. Score "
            f"{found.score[0]:.1f} -> {found.score[1]:.1f}; side effects: {others}.")


def _measured(session: Session, criterion: Criterion, edit: Edit, amount: float) -> Counterfactual:
    """The edit done once more, everything measured again."""
    session.step()
    before = session.critique
    after = judge(session.remeasure(session.edited(edit, amount)), session.reference, before.rubric)
    moved = {v.criterion.name: now.points - v.points for v, now in zip(before.verdicts, after.verdicts, strict=True)
             if v.points is not None and now.points is not None and v.criterion.id != criterion.id}
    side = {name: change for name, change in sorted(moved.items(), key=lambda item: -abs(item[1]))
            if abs(change) >= NOTED}
    return Counterfactual(criterion.name, edit.say(amount), amount,
                          (points_of(before, criterion), points_of(after, criterion)),
                          (before.score, after.score), side)
