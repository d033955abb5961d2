"""What the critique points at: the strongest reasons in words, and the measure that its heat map shows."""
from typing import NamedTuple

from ..reference.distributions import LEARNED
from ..rubric.criteria import Reading, Signal
from ..score.judge import Critique, Verdict
from . import picture_kind
from .heat_maps import EXACT
from .phrases import called, compared, digits, fact, share

STRONGEST = 3
CLOSE = 10  # percentiles within which a measure is neither much nor little
COMPARED = "the pictures it is compared with"
NOTHING = 0.01  # of any column with places: what rounding leaves of the colours of a grey picture


class Reason(NamedTuple):
    """A criterion and the measure that tells most about what it adds or takes; `trait` where it is told because it is
    the most unusual of a picture that is usual in all else."""
    verdict: Verdict
    signal: Signal
    trait: bool = False


class Evidence(NamedTuple):
    """The column that the heat map draws, the one that the first reason rests on, and which map was asked for: see
    `HeatMap.exact`."""
    column: str
    first: str
    exact: bool = True
    asked: bool = False


def evidence(critique: Critique) -> Evidence:
    """The column of the first reason that has places.

    Where none has, the most unusual column with places is drawn: of those that count, or of the pairs where nothing
    does, and else of any. A column of as good as 0 has nothing to show.
    """
    told = [reason.signal.column for reason in strongest(critique)]
    counted = {signal.column for verdict in critique.counted for signal in verdict.used} or {
        column for position in critique.positions for column in position.criterion.columns}
    order = sorted(critique.typicalities, key=lambda column: (column not in counted, critique.typicalities[column]))
    drawable = [column for column in [*told, *order, *critique.measures] if column in EXACT]
    shown = [column for column in drawable if abs(critique.measures[column]) >= NOTHING] or drawable
    return Evidence(shown[0], told[0] if told else order[0])


def columns_told(critique: Critique) -> dict[str, str]:
    """The column that the reason of each criterion names, by the criterion's id."""
    return {reason.verdict.criterion.id: reason.signal.column for reason in strongest(critique)}


def reasons(critique: Critique) -> list[str]:
    """The criteria that move the score most, each a sentence with its most telling measure; of a picture that is
    usual throughout also its most unusual trait. What there is nothing in has that for its only reason."""
    empty = picture_kind.nothing(critique.measures)
    return [empty] if empty else [sentence(reason, critique) for reason in strongest(critique)]


def strongest(critique: Critique) -> list[Reason]:
    """The strongest reasons, no fact twice."""
    told, known = [], set()
    for verdict in sorted(critique.counted, key=lambda verdict: -abs(verdict.contribution)):
        signal = _telling(verdict, critique, known)
        if signal:
            told.append(Reason(verdict, signal))
            known |= fact(signal.column)
    first = told[:STRONGEST]
    if not first or any(reason.verdict.contribution < 0 for reason in first):
        return first
    return [*first[:STRONGEST - 1], _most_unusual(critique, first[:STRONGEST - 1])]


def sentence(reason: Reason, critique: Critique) -> str:
    """A reason in words: what it adds or takes, how the picture compares, and what is usual."""
    verdict, signal, trait = reason
    gain, reading = verdict.contribution >= 0, reading_of(verdict, signal)
    why = {True: " as usual", False: " as unusual"}[gain] if reading.kind == "typical" else ""
    gives = (f"{'adds' if gain else 'takes'} {abs(verdict.contribution):.1f} points{why}"
             if not trait else "is the most unusual here")
    wanted = "" if reading.kind in ("typical", "high", "low") else f" (asked: {reading})"
    return f"**{verdict.criterion.name}** {gives}. {comparison(signal.column, critique)}{wanted}."


def comparison(column: str, critique: Critique) -> str:
    """The name of a column, how it compares with the pictures of the reference, its value and their middle half."""
    name, position, value = called(column), critique.percentiles[column], digits(critique.measures[column])
    if column == LEARNED:  # its scale is that of its head, and no distribution of pictures
        return f"{name} stands at {position:.0f} of 100 on the scale of its head ({value})"
    usual = critique.usual.get(column)
    usually = f"; usual {digits(usual[0])} to {digits(usual[1])}" if usual else ""
    if column in critique.estimated:
        value += ", place estimated"
    if abs(position - 50) <= CLOSE:
        return f"{name} is as usual among {COMPARED} ({value}, percentile {position:.0f}{usually})"
    more = position > 50
    of = share(position if more else 100 - position)
    return f"{name}: {compared(column, more, critique.measures)} than in {of} {COMPARED} ({value}{usually})"


def reading_of(verdict: Verdict, signal: Signal) -> Reading:
    return signal.reading or verdict.criterion.reading


def _telling(verdict: Verdict, critique: Critique, known: set[str]) -> Signal | None:
    """The signal that says most for what a criterion adds, or against what it takes, of those not yet told."""
    def points(signal):
        return reading_of(verdict, signal).of(signal.place(critique.percentiles[signal.column]))

    new = [signal for signal in verdict.used if signal.column not in known]
    return (max if verdict.contribution >= 0 else min)(new, key=points) if new else None


def _most_unusual(critique: Critique, told: list[Reason]) -> Reason:
    """The trait furthest from the middle of what counts, no matter what it adds."""
    known = {column for reason in told for column in fact(reason.signal.column)}
    each = [(verdict, signal) for verdict in critique.counted for signal in verdict.used
            if signal.column not in known] or [(told[0].verdict, told[0].signal)] if told else [
                (verdict, signal) for verdict in critique.counted for signal in verdict.used]
    verdict, signal = min(each, key=lambda pair: critique.typicalities[pair[1].column])
    return Reason(verdict, signal, trait=True)
