"""From data to places on the paper: groups of rows, how far their lengths reach, and scales for numbers and names."""
import math
from collections.abc import Mapping, Sequence, Set
from fractions import Fraction
from typing import Any, NamedTuple

from ...shared.text_syntax import shorten
from .grammar import Chart, Mark, Operator
from .rows import listed
from .ticks import labelled

SIDES = {"x": "w", "y": "h"}


def groups(rows, by: str | None) -> dict[Any, list]:
    """The rows by their value in column `by`, in order of appearance; every row for itself without one."""
    if by is None:
        return {i: [row] for i, row in enumerate(rows)}
    parts: dict[Any, list] = {}
    for row in rows:
        parts.setdefault(row[by], []).append(row)
    return parts


def extent(operators, leaf: Mark, rows, axis: str) -> tuple[float, float] | None:
    """(low, high) of the data along an axis, or None where lengths along it are no data."""
    if not operators:
        channel = leaf.options.get(SIDES[axis]) if leaf.kind == "rect" else None
        if not is_column(channel, rows):
            return None
        value = total(rows, channel)
        return min(0.0, value), max(0.0, value)
    operator, rest = operators[0], operators[1:]
    if operator.kind == "scatter":
        return None
    ends = [extent(rest, leaf, part, axis) for part in groups(rows, operator.options.get("by")).values()]
    if not ends or None in ends:
        return None
    if operator.kind != "group" and operator.options.get("dir", "x") == axis:
        return sum(low for low, _ in ends), sum(high for _, high in ends)
    return min(low for low, _ in ends), max(high for _, high in ends)


def rooms(operator: Operator, rest, parts, axis: str, length: float) -> list[float]:
    """Pixels along an axis for each part of a sequence whose lengths are no data: every mark in it gets as much.

    Raises ValueError where the gaps leave nothing."""
    gap = gap_of(operator)
    gaps, marks = [total_gap(rest, part, axis) for part in parts], [abreast(rest, part, axis) for part in parts]
    spaces = gap * (len(parts) - 1) + sum(gaps)
    each = (length - spaces) / sum(marks)
    if each <= 0:
        raise ValueError(f"spec: {sum(marks)} marks with {spaces:g} pixels of spacing do not fit into {length:.0f}; "
                         "make the chart larger or write spacing=0")
    return [each * number + inner for number, inner in zip(marks, gaps, strict=True)]


def abreast(operators, rows, axis: str) -> int:
    """How many marks stand side by side along an axis."""
    if not operators:
        return 1
    operator, rest = operators[0], operators[1:]
    inner = [abreast(rest, part, axis) for part in groups(rows, operator.options.get("by")).values()]
    along = operator.kind in ("spread", "stack") and operator.options.get("dir", "x") == axis
    return sum(inner) if along else max(inner)


def total_gap(operators, rows, axis: str) -> float:
    """Pixels that spacing takes along an axis on which lengths are data."""
    if not operators:
        return 0.0
    parts = groups(rows, operators[0].options.get("by")).values()
    inner = [total_gap(operators[1:], part, axis) for part in parts]
    if operators[0].kind in ("group", "scatter") or operators[0].options.get("dir", "x") != axis:
        return max(inner, default=0.0)
    return sum(inner) + gap_of(operators[0]) * max(0, len(parts) - 1)


def gap_of(operator: Operator) -> float:
    """Pixels between the parts of a sequence."""
    return operator.options.get("spacing", 0.0 if operator.kind == "stack" else 8.0)


def check_columns(chart: Chart, connects: bool = False) -> None:
    """Raises ValueError where an operator or a mark names a column that not every row has, or where lengths are no
    numbers. What connects marks places nothing, and rows without the column of its `group` are a group too."""
    operators = () if connects else chart.operators
    wanted = {o.options[c]: f"{o.kind} {c}" for o in operators for c in ("by", "x", "y") if c in o.options}
    channels = [c for c in ("w", "h", "r") if isinstance(chart.leaf.options.get(c), str)]
    looks = [c for c in ("fill", "stroke") if is_column(chart.leaf.options.get(c), chart.rows)]
    wanted |= {chart.leaf.options[c]: f"{chart.leaf.kind} {c}" for c in (*channels, *looks)}
    for number, row in enumerate(chart.rows, 1):
        for column, use in wanted.items():
            if column not in row:
                raise ValueError(f"spec: {use} expected a column of data, got {column!r}; row {number} has "
                                 + listed(row))
        for channel in channels:
            value = row[chart.leaf.options[channel]]
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"data: column {chart.leaf.options[channel]!r} is drawn as a length and must hold "
                                 f"finite numbers, row {number} has {shorten(repr(value), 48)}")
    check_values(chart.rows, {o.options["by"] for o in chart.operators if "by" in o.options},
                 {o.options[c] for o in operators for c in ("x", "y") if c in o.options} | colours_of(chart))


def colours_of(chart: Chart) -> set[str]:
    """The columns that colour its marks, if they are columns at all."""
    return {chart.leaf.options[c] for c in ("fill", "stroke") if isinstance(chart.leaf.options.get(c), str)}


def check_values(rows: Sequence[Mapping], names: Set[str], placed: Set[str]) -> None:
    """Raises ValueError where a column that is drawn holds lists, or one along a scale a number that has no end."""
    for number, row in enumerate(rows, 1):
        for column in (names | placed) & row.keys():
            value = row[column]
            if value is not None and not isinstance(value, (str, int, float)):
                raise ValueError(f"data: column {shorten(repr(column), 48)} is drawn and must hold names or numbers, "
                                 f"row {number} has {shorten(repr(value), 48)}")
            if column in placed and isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"data: column {shorten(repr(column), 48)} is drawn along a scale and must hold "
                                 f"finite numbers, row {number} has {value!r}")


def is_column(channel, rows: Sequence[Mapping]) -> bool:
    return isinstance(channel, str) and bool(rows) and channel in rows[0]


def total(rows, column: str) -> float:
    return sum(row[column] for row in rows)


class Linear(NamedTuple):
    """Numbers from low to high over `length` pixels, with a rim to both sides in the units of the numbers.

    The rim is kept apart: added to a large integer or taken from it, it would be lost, and distances with it."""
    low: float
    high: float
    length: float
    rim: float = 0.0

    def __call__(self, value: float) -> float:
        return self._at(value - self.low)

    def _at(self, distance: float) -> float:
        return (distance + self.rim) * self.per_unit

    @property
    def per_unit(self) -> float:
        return self.length / (self.high - self.low + 2 * self.rim)

    def ticks(self) -> list[tuple[str, float]]:
        """(label, place) of round numbers."""
        low, high, rim = map(Fraction, (self.low, self.high, self.rim))
        return [(words, self._at(float(value - low))) for words, value in labelled(low - rim, high + rim)]


class Named(NamedTuple):
    """Names, each with its number, in equal steps over `length` pixels."""
    names: Mapping[Any, int]
    length: float

    def __call__(self, value) -> float:
        return (self.names[value] + 0.5) / len(self.names) * self.length

    def ticks(self) -> list[tuple[str, float]]:
        return [(str(name), self(name)) for name in self.names]


def places(values: Sequence, length: float) -> Linear | Named:
    """A scale for scattered values: numbers with a rim around them, anything else by name."""
    if not all(isinstance(value, (int, float)) for value in values):
        return Named({name: number for number, name in enumerate(dict.fromkeys(values))}, length)
    low, high = min(values), max(values)
    rim = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return Linear(low, high, length, rim)


def lengths(low: float, high: float, length: float) -> Linear:
    """A scale for lengths, which starts at zero or reaches below it."""
    low, high = min(0.0, low), max(0.0, high)
    return Linear(low, high if high > low else low + 1.0, length)
