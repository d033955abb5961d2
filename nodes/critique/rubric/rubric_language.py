"""The language of rubrics: `Balance=2; Symmetry=0; Value>70; Harmony -> 80 +- 10; @Arnheim  # note`."""
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from ...shared.text_syntax import NUMBER, Reader, check_length, fits, shorten, statements
from ..measures import FILTERED, MEASURES
from ..measures.densities import mapped
from ..measures.pictorial_depth import BY_DEPTH, BY_HEIGHT
from ..reference.distributions import LEARNED
from . import critic_cards
from .criteria import HIGH, LOW, TYPICAL, Criterion, Reading, Rubric, Signal
from .default_rubric import default

NAME_ENDS = re.compile('->(?!=)|[=<>"]')
QUOTED_NAME = re.compile('"[^"]+"')
EQUALS = re.compile("=")
WORD = re.compile("[a-z]+", re.ASCII | re.IGNORECASE)
AIMS = re.compile("(?P<target>->)|(?P<least>>=?)|(?P<most><=?)")
TARGET = re.compile(r"target\s+", re.ASCII | re.IGNORECASE)
WITHIN = re.compile(r"\+-|±")
WORDS = {"typical": TYPICAL, "high": HIGH, "low": LOW}
COLUMNS = (*MEASURES, *BY_HEIGHT, *FILTERED, LEARNED)   # whether one can count is for the reference to say
FORMS = "NAME=WEIGHT, NAME=high, NAME=low, NAME=typical, NAME -> 80 +- 10, NAME>70, NAME<30 or @CRITIC"


class Statement(NamedTuple):
    """names = weight, reading; None where the statement leaves it as it is."""
    piece: str
    names: tuple[str, ...]
    weight: float | None
    reading: Reading | None


def parse(text: str) -> Rubric:
    """The rubric that `text` describes; empty text is the default one.

    Raises ValueError, which quotes the piece that cannot be read and lists what exists.
    """
    pieces = statements(text, "rubric")
    critics = [piece[1:].strip() for piece in pieces if piece.startswith("@")]
    if len(critics) > 1:
        got = ", ".join("@" + name for name in critics)
        raise ValueError(f"rubric: expected one critic at most, got {shorten(got)}")
    rubric = _critic(critics[0]) if critics else default()
    changes = [piece for piece in pieces if not piece.startswith("@")]
    for statement in map(_statement, changes):
        rubric = _apply(rubric, statement)
    if changes and _counts_nothing(rubric):
        raise ValueError("rubric: expected at least one criterion with a weight above 0, got none in "
                         f'"{shorten("; ".join(pieces))}"')
    return rubric._replace(title=f"{rubric.title}, with {'; '.join(changes)}") if changes else rubric


def subject(words: str, rubric: Rubric) -> Criterion | None:
    """What a person wants a heat map of: a criterion of the rubric, or a measure as one of its own; None for nothing.

    Raises ValueError with what exists, and for a criterion that cannot be mapped."""
    check_length(words, "heat")
    name = words.strip()
    if not name:
        return None
    found = next((each for each in rubric.criteria if "*" not in name and _named(each, name)), None)
    if not found:
        column = _spelled(name, [*BY_DEPTH, *COLUMNS])
        if not column:
            raise ValueError(f'heat: "{shorten(name)}" is no criterion or measure{_known(name, rubric.criteria)}')
        found = Criterion(column, column, "", (Signal(column),))
    mapped(found.name, found.columns)
    return found


def _counts_nothing(rubric: Rubric) -> bool:
    weights = [criterion.weight for criterion in rubric.criteria if not criterion.bipolar]
    return bool(weights) and not any(weights)


def _critic(name: str) -> Rubric:
    try:
        return critic_cards.card(name).rubric
    except ValueError as error:
        raise ValueError(f'rubric: "@{shorten(name)}": {error}') from None


def _statement(piece: str) -> Statement:
    reader = Reader(piece)
    quoted = reader.take(QUOTED_NAME)
    names = (quoted[0],) if quoted else tuple(name.strip() for name in reader.until(NAME_ENDS).split(","))
    weight = word = None
    if reader.take(EQUALS):
        weight, word = reader.take(NUMBER), reader.take(WORD)
    aim = reader.take(AIMS)
    reading = _aim(aim.lastgroup, reader, piece) if aim else None
    if names == ("",) or not reader.ended or not (weight or word or aim):
        raise _unreadable(piece)
    if word and word[0].lower() not in WORDS:
        raise ValueError(f'rubric: "{shorten(word[0])}" in "{shorten(piece)}" is not a number and not one of '
                         f'{", ".join(WORDS)}')
    if word and aim:
        raise ValueError(f'rubric: "{shorten(piece)}" has two readings; write {word[0]} or the number, not both')
    if weight and float(weight[0]) > 1000:
        raise ValueError(f'rubric: "{shorten(piece)}": expected a weight from 0 to 1000, got {shorten(weight[0])}')
    return Statement(piece, names, float(weight[0]) if weight else None, WORDS[word[0].lower()] if word else reading)


def _unreadable(piece: str) -> ValueError:
    return ValueError(f'rubric: "{shorten(piece)}" cannot be read; write {FORMS}')


def _aim(kind: str, reader: Reader, piece: str) -> Reading:
    """The percentile after `->`, `>` or `<`, and for the first the tolerance after `+-`."""
    if kind == "target":
        reader.take(TARGET)
    number = reader.take(NUMBER)
    tolerance = number and kind == "target" and reader.take(WITHIN) and (reader.take(NUMBER) or ("",))
    if not number or tolerance == ("",) or not reader.ended:
        raise _unreadable(piece)
    at, within = float(number[0]), float(tolerance[0]) if tolerance else 20.0
    if at > 100 or not 1 <= within <= 100:
        raise ValueError(f'rubric: "{shorten(piece)}": expected a percentile from 0 to 100 and a tolerance from 1 to '
                         f"100, got {at:g} and {within:g}")
    return Reading(kind, at, within)


def _apply(rubric: Rubric, statement: Statement) -> Rubric:
    criteria = list(rubric.criteria)
    for name in statement.names:
        chosen = [at for at, each in enumerate(criteria) if _named(each, name)]
        if not name.startswith('"'):  # a criterion goes before a column of the same name that is judged on its own
            chosen = [at for at in chosen if criteria[at].id != criteria[at].name] or chosen
        for at in chosen:
            criteria[at] = _change(criteria[at], statement, star=name if "*" in name else "")
        if not chosen:
            criteria = _taken_out(_column(name, statement, criteria), statement, criteria)
    return rubric._replace(criteria=tuple(criteria), plain=False)


def _named(criterion: Criterion, name: str) -> bool:
    if name.startswith('"'):  # a column, also where a criterion has its name
        return bool(_spelled(name, [criterion.id]))
    if "*" in name:
        return not criterion.bipolar and fits(name.upper(), criterion.id.upper())
    return bool(_spelled(name, [criterion.id, criterion.name]))


def _spelled(name: str, known: Sequence[str]) -> str | None:
    """What a name means among those that are known. A column that is spelled as it is means no other, where the two
    differ in nothing but capital letters: Harmony i and Harmony I."""
    exact, folded = name.strip('"'), critic_cards.fold(name)
    alike = [each for each in known if critic_cards.fold(each) == folded]
    alike = [each for each in alike if each == exact or not {each, exact} <= {*MEASURES}]
    return alike[-1] if alike else None


def _change(criterion: Criterion, statement: Statement, star: str) -> Criterion:
    if criterion.bipolar:
        raise ValueError(f'rubric: "{shorten(statement.piece)}": {criterion.name} is a position between two poles, '
                         "which never counts; only what has less and more can")
    weight = (criterion.weight or 1.0) if statement.weight is None else statement.weight
    signals, reading, aiming = criterion.signals, criterion.reading, criterion.aiming
    usual = criterion.usual or signals
    if statement.reading is not None:
        reading, aiming = statement.reading, bool(criterion.aimed) and statement.reading.kind != "typical"
        signals = criterion.aimed if aiming else tuple(signal._replace(reading=None) for signal in usual)
    return criterion._replace(weight=weight, reading=reading, signals=signals, usual=usual, aiming=aiming, star=star,
                              asked=weight > 0 and (criterion.asked or not star))


def _taken_out(column: str, statement: Statement, criteria: list[Criterion]) -> list[Criterion]:
    """The criteria with a column judged on its own, and no longer in those that it spoke for."""
    weight = 1.0 if statement.weight is None else statement.weight
    alone = Criterion(column, column, "", (Signal(column),), asked=weight > 0, weight=weight,
                      reading=statement.reading or TYPICAL)
    return [*(each if each.bipolar else _without(each, column) for each in criteria), alone]


def _without(criterion: Criterion, column: str) -> Criterion:
    signals, aimed, usual = (tuple(signal for signal in each if signal.column != column)
                             for each in (criterion.signals, criterion.aimed, criterion.usual))
    aiming = criterion.aiming and bool(aimed)
    return criterion._replace(signals=usual if criterion.aiming and not aiming else signals, aimed=aimed, usual=usual,
                              aiming=aiming)


def _column(name: str, statement: Statement, criteria: list[Criterion]) -> str:
    """The measured column of that name. Raises ValueError with what exists."""
    column = _spelled(name, COLUMNS)
    if column:
        return column
    said = shorten(name.strip('"'))
    if _spelled(name, BY_DEPTH):
        raise ValueError(f'rubric: "{said}" in "{shorten(statement.piece)}" is only told: it needs a depth '
                         "map, and no reference has any")
    counting = [criterion for criterion in criteria if not criterion.bipolar]
    raise ValueError(f'rubric: "{said}" in "{shorten(statement.piece)}" is not judged{_known(name, counting)}')


def _known(name: str, criteria: Sequence[Criterion]) -> str:
    """What could have been meant by an unknown name, or else everything that exists."""
    spelled = {critic_cards.fold(each): each for each in (*COLUMNS, *(criterion.name for criterion in criteria))}
    near = get_close_matches(critic_cards.fold(name), spelled, 1)
    known = ", ".join(f"{criterion.id} {criterion.name}" for criterion in criteria)
    if near:
        return f' (did you mean "{spelled[near[0]]}"?); there are {known}, and the columns of the report'
    return f"; there are {known}, and the columns {', '.join(COLUMNS)}"
