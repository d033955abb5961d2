"""Pictures chosen by what was measured: `score > 60; Sharpness < 20; Balance = 2; Value = 1; first = 200`.

Comparisons say which pictures are taken. Weights say in which order: by the weighted mean of their places (0 to 1)
among those that are taken, the highest first; without weights by the score. `first` takes so many of that order.
"""
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from .picture_table import PictureTable, locate
from .text_syntax import NUMBER, Reader, shorten, statements

FIELD = "where"
SIGN = re.compile(r">=|<=|>|<|=")
NAME_ENDS = re.compile("[<>=]")
MINUS = re.compile("-")
FIRST = "first"
COMPARED = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
FORMS = "NAME > 60, NAME < 20, NAME = WEIGHT or first = 200"


class Choice(NamedTuple):
    """filters: (name, sign, number); weights: (name, number); first: how many at most, None for all."""
    filters: tuple[tuple[str, str, float], ...] = ()
    weights: tuple[tuple[str, float], ...] = ()
    first: int | None = None


class Chosen(NamedTuple):
    """Names of pictures in the order that was asked for, and a sentence that says what was left out."""
    names: list[str]
    note: str


def parse(text: str) -> Choice:
    """Raises ValueError with one sentence, which quotes the piece that cannot be read."""
    filters, weights, first = [], [], None
    for piece in statements(text, FIELD):
        name, sign, number = _statement(piece)
        if sign != "=":
            filters.append((name, sign, number))
        elif name.lower() == FIRST:
            first = _count(piece, number)
        else:
            weights.append((name, number))
    return Choice(tuple(filters), tuple(weights), first)


def _statement(piece: str) -> tuple[str, str, float]:
    reader = Reader(piece)
    name, sign = reader.until(NAME_ENDS).strip('" '), reader.take(SIGN)
    minus, number = reader.take(MINUS), reader.take(NUMBER)
    if not (name and sign and number and reader.ended):
        raise ValueError(f'{FIELD}: expected {FORMS}, got "{shorten(piece)}"')
    return name, sign[0], -float(number[0]) if minus else float(number[0])


def _count(piece: str, number: float) -> int:
    if number < 1 or not number.is_integer():
        raise ValueError(f'{FIELD}: expected a whole number of pictures from 1 on, got "{shorten(piece)}"')
    return int(number)


def column(name: str, columns: Sequence[str]) -> str:
    """The column that a name means: a criterion before a measure of the same name (`measure Balance` is that), in small
    or capital letters. Raises ValueError with what is close."""
    exact = next((each for each in (f"criterion {name}", name) if each in columns), None)
    if exact:       # Harmony i and Harmony I differ in nothing else
        return exact
    known = {each.lower(): each for each in columns}
    asked = " ".join(name.lower().split())
    found = known.get(f"criterion {asked}") or known.get(asked) or known.get(asked.removeprefix("measure "))
    if not found:
        close = get_close_matches(asked, [each.removeprefix("criterion ") for each in known], 3, 0.5)
        raise ValueError(f'{FIELD}: the table has no "{shorten(name)}"'
                         + (f"; close: {', '.join(close)}" if close else ""))
    return found


def choose(table: PictureTable, text: str) -> Chosen:
    """The pictures of a table that a text asks for; an empty one takes all, the highest score first.

    Raises ValueError with one sentence for a text that cannot be read, an unknown name, and where nothing is left."""
    choice = parse(text)
    table.load([column(name, table.columns) for name, *_ in (*choice.filters, *_weights(choice))])
    names = np.array(table.names, object)
    taken = np.ones(len(names), bool)
    for name, sign, number in choice.filters:
        taken &= COMPARED[sign](table.numbers(column(name, table.columns)), number)     # NaN is never taken
    places = np.flatnonzero(taken)
    if not len(places):
        raise ValueError(f"{FIELD}: expected at least one picture that is left, got none of {len(names)} "
                         f"({shorten(text) or 'the table has none'})")
    order = places[np.argsort(-_worth(table, choice, places), kind="stable")][:choice.first]
    note = f"{len(order)} of {len(names)} pictures of the table {table.folder.name} are taken"
    said = f" ({shorten('; '.join(statements(text, FIELD)))})" if text.strip() else ""
    return Chosen(names[order].tolist(), f"{note}{said}.{_unordered(table, choice, places)}")


def _unordered(table: PictureTable, choice: Choice, places: np.ndarray) -> str:
    """A sentence where an order was asked for by what was measured in none of the pictures; empty otherwise."""
    if not choice.weights and (choice.first or len(places)) >= len(places):
        return ""
    names = [name for name, _ in _weights(choice)]
    missing = [name for name in names if np.isnan(table.numbers(column(name, table.columns))[places]).all()]
    if not missing:
        return ""
    then = ("they are in the order of their names; order them by what was measured, such as Value = 1"
            if len(missing) == len(names) else "it orders nothing")
    return f" No {', '.join(missing)} in this table: {then}."


def selected(table: str, where: str, output: Callable[[], str]) -> tuple[PictureTable, Chosen] | None:
    """The table that a node was given and what is chosen of it; None where it was given none.

    output: gives the host's output folder. Raises ValueError with one sentence as `locate` and `choose` do."""
    if not table.strip():
        if where.strip():
            raise ValueError(f"{FIELD}: expected a table to choose from, got none; connect table of Critique Gallery")
        return None
    held = PictureTable(locate(table, output))
    return held, choose(held, where)


def _worth(table: PictureTable, choice: Choice, places: np.ndarray) -> np.ndarray:
    return sum(weight * _ranks(table.numbers(column(name, table.columns))[places])
               for name, weight in _weights(choice))


def _weights(choice: Choice) -> Sequence[tuple[str, float]]:
    return choice.weights or (("score", 1.0),)


def _ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value among all, 0 (lowest, and where nothing was measured) to 1; equal ones share theirs."""
    known = np.sort(values[~np.isnan(values)])
    middle = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / 2
    return np.where(np.isnan(values), 0.0, middle / max(1, len(known)))
