"""Ready-made charts by name, for what is asked for again and again."""
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ...shared.text_syntax import shorten
from ..grammar.rows import listed
from .bars import bars, blocks
from .curves import STEP, loss, timeline
from .palette import palette
from .plane import plane
from .radar import radar
from .waterfall import waterfall


class ChartType(NamedTuple):
    """`draw(rows, frame, theme, **columns)` -> scene; `columns` it takes, each of kind "name", "number" or "any".

    `usual` are the columns that other nodes give for an option, looked for before any that fits; `own` are those that
    the form finds by itself, and that no option is given unasked. `ordered` forms are given rows without a value too:
    the place of a row says something there. `of_many` draw the rows of several pictures beside each other."""
    draw: Callable
    columns: dict[str, str]
    optional: frozenset[str] = frozenset()
    usual: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    own: frozenset[str] = frozenset()
    ordered: bool = False
    of_many: bool = False


AMOUNTS = {"value": ("value", "score", "points", "weight")}     # criteria have points and, behind them, a weight

CHART_TYPES = {
    "bars": ChartType(bars, {"label": "name", "value": "number"}, usual=AMOUNTS),
    "radar": ChartType(radar, {"label": "name", "value": "number", "by": "name"}, frozenset({"by"}), AMOUNTS),
    "waterfall": ChartType(waterfall, {"label": "name", "value": "number"}, usual=AMOUNTS),
    "palette": ChartType(palette, {"colour": "name", "share": "number"}),
    "blocks": ChartType(blocks, {"block": "name", "energy": "number"}),
    "loss": ChartType(loss, {"value": "number", "by": "name"}, frozenset({"by"}), {"value": ("loss",)},
                      frozenset({STEP}), ordered=True),
    "timeline": ChartType(timeline, {"x": "any", "y": "number", "by": "name"}, frozenset({"by"}),
                     {"x": ("year", "seed", "picture", STEP), "y": ("score",)}, of_many=True),
    "plane": ChartType(plane, {"entropy": "number", "complexity": "number", "by": "name"}, frozenset({"by"}),
                  {"entropy": ("Permutation entropy", "measures.Permutation entropy"),
                   "complexity": ("Statistical complexity", "measures.Statistical complexity")}, of_many=True),
}


def columns_of(name: str, options: dict, rows) -> dict[str, str]:
    """The columns a form will draw: those that were named, and for the others the first that fit.

    Raises ValueError for an option it does not take, a column that is not there, and when nothing fits."""
    form = CHART_TYPES[name]
    if unknown := sorted(options.keys() - form.columns):
        raise ValueError(f"spec: {name} expected one of {', '.join(form.columns)}; got {shorten(unknown[0], 48)!r}")
    if not rows:
        raise ValueError("data: expected at least one row to draw, got none")
    chosen: dict[str, str] = {}
    for option, kind in form.columns.items():
        column = options.get(option)
        if column is None and option not in form.optional:
            column = _first(rows, (option, *form.usual.get(option, ())), kind,
                            form.own | set(chosen.values()) | set(options.values()))
        if column is not None:
            _check(rows, name, option, kind, column)
            chosen[option] = column
    return chosen


def known(name: str, columns: dict[str, str], rows) -> list[dict]:
    """The rows that have what the form needs of them; null says that there is none.

    Raises ValueError where no row has."""
    needed = [column for option, column in columns.items() if CHART_TYPES[name].columns[option] != "name"]
    kept = [row for row in rows if all(row[column] is not None for column in needed)]
    if not kept:
        raise ValueError(f"data: expected a value in {' and '.join(needed)} of at least one row, got null in all")
    return kept


def _first(rows, names, kind, taken):
    """The first of the names that is a column of that kind, or else the first column that is; a name where none is."""
    values = {column: next((row[column] for row in rows if row.get(column) is not None), None) for column in rows[0]}
    fitting = [column for column, value in values.items() if column not in taken and _fits(value, kind)]
    return next((name for name in names if name in fitting), fitting[0] if fitting else names[0])


def _check(rows, name, option, kind, column):
    for number, row in enumerate(rows, 1):
        if column not in row:
            raise ValueError(f"spec: {name} {option} expected a column of data, got {shorten(repr(column), 48)}; row "
                             f"{number} has {listed(row)}")
        if row[column] is not None and not (_is_name(row[column]) if kind == "name" else _fits(row[column], kind)):
            needs = {"name": "a name", "number": "a number", "any": "a name or a finite number"}[kind]
            raise ValueError(f"data: {name} draws column {column!r} as {option} and needs {needs} there, "
                             f"row {number} has {shorten(repr(row[column]), 48)}")


def _is_name(value) -> bool:
    """Whether it can be one: numbers can, lists cannot."""
    return isinstance(value, (str, int, float))


def _fits(value, kind: str) -> bool:
    if not _is_name(value):
        return False
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and (value != value or abs(value) == float("inf")):
        return False
    return kind == "any" or (kind == "number") == is_number
