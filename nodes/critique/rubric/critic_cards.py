"""The critics: theories of art as cards, one readable JSON file each in `critics/`.

A card has `id`, `critic`, `book`, `year`, `edition`, `thesis` (in our own words) and `concepts`. A concept has `id`,
`name`, `kind` ("unipolar": little to much; "bipolar": a position between two poles), `question`, `low`, `high`,
`source` (the chapter) and `measured`: the columns that speak for it, each with a `reading` ("high" or "low") or a
`target` percentile (and `within`, its tolerance), and a `weight` (1 if not written). `measured` may be empty: such a
concept can only be asked. `said`, two texts, is what the measures themselves tell of little and of much of it: the
critique in words says that, and a model that looks is asked for `low` and `high`.
"""
import json
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ...shared.text_syntax import shorten
from .criteria import HIGH, Criterion, Reading, Rubric, Signal

FOLDER = Path(__file__).with_name("critics")
CARD = {"id": str, "critic": str, "book": str, "year": int, "edition": str, "thesis": str, "concepts": list}
CONCEPT = {"id": str, "name": str, "kind": str, "question": str, "low": str, "high": str, "source": str,
           "measured": list}
KINDS = ("unipolar", "bipolar")
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


class Card(NamedTuple):
    """A critic and the concepts of the book, as criteria."""
    id: str
    critic: str
    book: str
    year: int
    edition: str
    thesis: str
    concepts: tuple[Criterion, ...]

    @property
    def source(self) -> str:
        return f"{self.critic}, {self.book}, {self.year} ({self.edition})"

    @property
    def rubric(self) -> Rubric:
        """The card as a rubric: every unipolar concept weighs the same."""
        return Rubric(f"after {self.critic}", self.concepts, shared=False, plain=False, source=self.source,
                      thesis=self.thesis)


@lru_cache(1)
def cards() -> dict[str, Card]:
    """Every card by its id, in alphabetic order."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.json"))}


def card(name: str) -> Card:
    """The card of a critic by id or surname (Wölfflin, Woelfflin or Wolfflin). Raises ValueError with the list."""
    for found in cards().values():
        if fold(name) in _names(found):
            return found
    known = ", ".join(found.critic for found in cards().values())
    raise ValueError(f'critic: expected one of {known}, got "{shorten(name)}"')


def read(path: Path) -> Card:
    """A card from its file. Raises ValueError, which names the file and what is wrong in it."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        _expect(fields, CARD, "the card")
        if fields["id"] != path.stem:
            raise ValueError(f'id: expected "{path.stem}", the name of the file, got "{fields["id"]}"')
        concepts = tuple(_concept(entry) for entry in fields["concepts"])
        for what in ("id", "name"):
            names = [fold(getattr(concept, what)) for concept in concepts]
            if len(set(names)) < len(names) or not names:
                raise ValueError(f"concepts: expected at least one, each {what} once, got {', '.join(names) or 'none'}")
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    return Card(**{**fields, "concepts": concepts})


@lru_cache(1024)
def fold(name: str) -> str:
    """A name without case, accents, spaces and marks, for comparing."""
    plain = unicodedata.normalize("NFKD", name.casefold().translate(UMLAUTS))
    return "".join(letter for letter in plain if letter.isalnum())


def _names(found: Card) -> set[str]:
    surname = found.critic.split()[-1]
    bare = "".join(c for c in unicodedata.normalize("NFKD", surname) if not unicodedata.combining(c))
    return {found.id, fold(surname), fold(bare), fold(found.critic)}


def _concept(entry) -> Criterion:
    where = f"concept {entry.get('id', '?')}" if isinstance(entry, dict) else "a concept"
    _expect(entry, CONCEPT, where)
    if entry["kind"] not in KINDS:
        raise ValueError(f'{where}: kind: expected unipolar or bipolar, got "{entry["kind"]}"')
    signals = tuple(_signal(measured, where) for measured in entry["measured"])
    bipolar = entry["kind"] == "bipolar"
    if bipolar and any(signal.reading.kind == "target" for signal in signals):
        raise ValueError(f"{where}: measured: a position between two poles takes high or low, not a target")
    said = entry.get("said")
    if said is not None and not (isinstance(said, list) and len(said) == 2 and all(isinstance(s, str) for s in said)):
        raise ValueError(f"{where}: said: expected two texts, got {said!r}")
    return Criterion(entry["id"], entry["name"], entry["question"], signals, entry["low"], entry["high"],
                     entry["source"], bipolar, reading=HIGH, said=said and tuple(said))


def _signal(measured, where: str) -> Signal:
    _expect(measured, {"column": str}, f"{where}: measured")
    known = {"column", "reading", "target", "within", "weight"}
    if set(measured) - known or ("reading" in measured) == ("target" in measured):
        raise ValueError(f"{where}: measured {measured['column']}: expected a reading or a target, and within and "
                         f"weight at most, got {', '.join(measured)}")
    weight = _number(measured.get("weight", 1), 0, 100, f"{where}: weight")
    if "target" in measured:
        reading = Reading("target", _number(measured["target"], 0, 100, f"{where}: target"),
                          _number(measured.get("within", 20), 1, 100, f"{where}: within"))
        return Signal(measured["column"], 1, weight, reading=reading)
    if measured["reading"] not in ("high", "low"):
        raise ValueError(f'{where}: reading: expected high or low, got "{measured["reading"]}"')
    less = measured["reading"] == "low"
    return Signal(measured["column"], -1 if less else 1, weight, reading=HIGH)


def _expect(entry, fields: dict[str, type], where: str) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected an object with {', '.join(fields)}, got {type(entry).__name__}")
    for name, kind in fields.items():
        if not isinstance(entry.get(name), kind) or entry[name] == "":
            raise ValueError(f"{where}: {name}: expected {kind.__name__}, got {entry.get(name)!r}")


def _number(value, low: float, high: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{where}: expected a number from {low} to {high}, got {value!r}")
    return float(value)
