"""The language of rubrics: `Balance=2; Symmetry=0; Value>70; Harmony -> 80 +- 10; @Arnheim  # note`."""
import re
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NamedTuple

from . import cards
from .cards import cut
from .criteria import HIGH, LOW, TYPICAL, Criterion, Reading, Rubric, Signal
from .heat import mapped
from .measures import MEASURES
from .rubric import default

NUMBER = r"(?:\d+\.?\d*|\.\d+)"
AIM = rf"(?:->\s*(?:target\s+)?(?P<target>{NUMBER})(?:\s*(?:\+-|±)\s*(?P<within>{NUMBER}))?" \
      rf"|>=?\s*(?P<least>{NUMBER})|<=?\s*(?P<most>{NUMBER}))"
STATEMENT = re.compile(rf"""(?P<names>"[^"]+"|[^=<>"]+?)\s*
                            (?:=\s*(?P<weight>{NUMBER})?\s*(?P<word>[a-z]+)?\s*)?{AIM}?""",
                       re.ASCII | re.IGNORECASE | re.VERBOSE)
WORDS = {"typical": TYPICAL, "high": HIGH, "low": LOW}
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
    lines = (line.partition("#")[0] for line in text.splitlines())
    pieces = [piece.strip() for line in lines for piece in line.split(";") if piece.strip()]
    critics = [piece[1:].strip() for piece in pieces if piece.startswith("@")]
    if len(critics) > 1:
        raise ValueError(f"rubric: expected one critic at most, got {cut(', '.join('@' + name for name in critics))}")
    rubric = _critic(critics[0]) if critics else default()
    changes = [piece for piece in pieces if not piece.startswith("@")]
    for statement in map(_statement, changes):
        rubric = _apply(rubric, statement)
    if changes and _counts_nothing(rubric):
        raise ValueError("rubric: expected at least one criterion with a weight above 0, got none in "
                         f'"{cut("; ".join(pieces))}"')
    return rubric._replace(title=f"{rubric.title}, with {'; '.join(changes)}") if changes else rubric


def subject(words: str, rubric: Rubric) -> Criterion | None:
    """What a person wants a heat map of: a criterion of the rubric, or a measure as one of its own; None for nothing.

    Raises ValueError with what exists, and for a criterion that cannot be mapped."""
    name = words.strip()
    if not name:
        return None
    found = next((each for each in rubric.criteria if "*" not in name and _named(each, name)), None)
    if not found:
        column = _columns().get(cards.fold(name))
        if not column:
            raise ValueError(f'heat: "{cut(name)}" is no criterion or measure{_known(name, rubric.criteria)}')
        found = Criterion(column, column, "", (Signal(column),))
    mapped(found)
    return found


def _counts_nothing(rubric: Rubric) -> bool:
    weights = [criterion.weight for criterion in rubric.criteria if not criterion.bipolar]
    return bool(weights) and not any(weights)


def _critic(name: str) -> Rubric:
    try:
        return cards.card(name).rubric
    except ValueError as error:
        raise ValueError(f'rubric: "@{cut(name)}": {error}') from None


def _statement(piece: str) -> Statement:
    found = STATEMENT.fullmatch(piece)
    if not found or not any(found[part] for part in ("weight", "word", "target", "least", "most")):
        raise ValueError(f'rubric: "{cut(piece)}" cannot be read; write {FORMS}')
    word = found["word"]
    if word and word.lower() not in WORDS:
        raise ValueError(f'rubric: "{cut(word)}" in "{cut(piece)}" is not a number and not one of {", ".join(WORDS)}')
    aims = [kind for kind in ("target", "least", "most") if found[kind]]
    if word and aims:
        raise ValueError(f'rubric: "{cut(piece)}" has two readings; write {word} or the number, not both')
    quoted = found["names"].startswith('"')
    names = (found["names"].strip(),) if quoted else tuple(name.strip() for name in found["names"].split(","))
    weight = float(found["weight"]) if found["weight"] else None
    if weight is not None and weight > 1000:
        raise ValueError(f'rubric: "{cut(piece)}": expected a weight from 0 to 1000, got {cut(found["weight"])}')
    reading = WORDS[word.lower()] if word else _aim(aims[0], found, piece) if aims else None
    return Statement(piece, names, weight, reading)


def _aim(kind: str, found, piece: str) -> Reading:
    at, within = float(found[kind]), float(found["within"] or 20)
    if at > 100 or not 1 <= within <= 100:
        raise ValueError(f'rubric: "{cut(piece)}": expected a percentile from 0 to 100 and a tolerance from 1 to 100, '
                         f"got {at:g} and {within:g}")
    return Reading(kind, at, within)


def _apply(rubric: Rubric, statement: Statement) -> Rubric:
    criteria = list(rubric.criteria)
    for name in statement.names:
        chosen = [at for at, each in enumerate(criteria) if _named(each, name)]
        if not name.startswith('"'):  # a criterion goes before a column of the same name that is judged on its own
            chosen = [at for at in chosen if criteria[at].id != criteria[at].name] or chosen
        for at in chosen:
            criteria[at] = _change(criteria[at], statement, asked="*" not in name)
        if not chosen:
            criteria = _taken_out(_column(name, statement, criteria), statement, criteria)
    return rubric._replace(criteria=tuple(criteria), plain=False)


def _named(criterion: Criterion, name: str) -> bool:
    if name.startswith('"'):  # a column, also where a criterion has its name
        return cards.fold(name) == cards.fold(criterion.id)
    if "*" in name:
        return not criterion.bipolar and fnmatchcase(criterion.id.upper(), name.upper())
    return cards.fold(name) in (cards.fold(criterion.id), cards.fold(criterion.name))


def _change(criterion: Criterion, statement: Statement, asked: bool) -> Criterion:
    if criterion.bipolar:
        raise ValueError(f'rubric: "{cut(statement.piece)}": {criterion.name} is a position between two poles, which '
                         "never counts; only what has less and more can")
    weight = (criterion.weight or 1.0) if statement.weight is None else statement.weight
    signals, reading = criterion.signals, criterion.reading
    if statement.reading is not None:
        signals, reading = tuple(signal._replace(reading=None) for signal in signals), statement.reading
    return criterion._replace(weight=weight, reading=reading, signals=signals, asked=criterion.asked or asked)


def _taken_out(column: str, statement: Statement, criteria: list[Criterion]) -> list[Criterion]:
    """The criteria with a column judged on its own, and no longer in those that it spoke for."""
    alone = Criterion(column, column, "", (Signal(column),), asked=True,
                      weight=1.0 if statement.weight is None else statement.weight,
                      reading=statement.reading or TYPICAL)
    others = [each if each.bipolar else each._replace(signals=tuple(s for s in each.signals if s.column != column))
              for each in criteria]
    return [*others, alone]


def _column(name: str, statement: Statement, criteria: list[Criterion]) -> str:
    """The measured column of that name. Raises ValueError with what exists."""
    column = _columns().get(cards.fold(name))
    if column:
        return column
    counting = [criterion for criterion in criteria if not criterion.bipolar]
    raise ValueError(f'rubric: "{cut(name)}" in "{cut(statement.piece)}" is not judged{_known(name, counting)}')


def _columns() -> dict[str, str]:
    return {cards.fold(column): column for column in MEASURES}


def _known(name: str, criteria: Sequence[Criterion]) -> str:
    """What could have been meant by an unknown name, or else everything that exists."""
    spelled = _columns() | {cards.fold(criterion.name): criterion.name for criterion in criteria}
    near = get_close_matches(cards.fold(name), spelled, 1)
    known = ", ".join(f"{criterion.id} {criterion.name}" for criterion in criteria)
    if near:
        return f' (did you mean "{spelled[near[0]]}"?); there are {known}, and the columns of the report'
    return f"; there are {known}, and the columns {', '.join(MEASURES)}"
