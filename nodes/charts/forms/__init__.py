"""Forms with a name of their own, for charts that are asked for again and again."""
from collections.abc import Callable
from typing import NamedTuple

from .bars import bars, blocks, palette
from .loss import loss
from .plane import plane
from .radar import radar
from .timeline import timeline
from .waterfall import waterfall


class Form(NamedTuple):
    """`draw(rows, frame, theme, **columns)` -> scene; `columns` it takes, each of kind "name", "number" or "any"."""
    draw: Callable
    columns: dict[str, str]
    optional: frozenset[str] = frozenset()


FORMS = {
    "bars": Form(bars, {"label": "name", "value": "number"}),
    "radar": Form(radar, {"label": "name", "value": "number", "by": "name"}, frozenset({"by"})),
    "waterfall": Form(waterfall, {"label": "name", "value": "number"}),
    "palette": Form(palette, {"colour": "name", "share": "number"}),
    "blocks": Form(blocks, {"block": "name", "energy": "number"}),
    "loss": Form(loss, {"value": "number", "by": "name"}, frozenset({"by"})),
    "timeline": Form(timeline, {"x": "any", "y": "number", "by": "name"}, frozenset({"by"})),
    "plane": Form(plane, {"entropy": "number", "complexity": "number", "by": "name"}, frozenset({"by"})),
}


def columns_of(name: str, options: dict, rows) -> dict[str, str]:
    """The columns a form will draw: those that were named, and for the others the first that fit.

    Raises ValueError for an option it does not take, a column that is not there, and when nothing fits."""
    form = FORMS[name]
    if unknown := sorted(options.keys() - form.columns):
        raise ValueError(f"spec: {name} expected one of {', '.join(form.columns)}; got {unknown[0]!r}")
    if not rows:
        raise ValueError("data: expected at least one row to draw, got none")
    chosen: dict[str, str] = {}
    for option, kind in form.columns.items():
        column = options.get(option)
        if column is None and option not in form.optional:
            column = _first(rows, option, kind, set(chosen.values()) | set(options.values()))
        if column is not None:
            _check(rows, name, option, kind, column)
            chosen[option] = column
    return chosen


def known(name: str, columns: dict[str, str], rows) -> list[dict]:
    """The rows that have a number wherever the form needs one; null says that there is none.

    Raises ValueError where no row has."""
    numbers = [column for option, column in columns.items() if FORMS[name].columns[option] == "number"]
    kept = [row for row in rows if all(row[column] is not None for column in numbers)]
    if not kept:
        raise ValueError(f"data: expected a number in {' and '.join(numbers)} of at least one row, got null in all")
    return kept


def _first(rows, option, kind, taken):
    fitting = [c for c, value in rows[0].items() if c not in taken and _fits(value, kind)]
    return option if option in fitting else fitting[0] if fitting else option


def _check(rows, name, option, kind, column):
    for number, row in enumerate(rows, 1):
        if column not in row:
            raise ValueError(f"spec: {name} {option} expected a column of data, got {column!r}; row {number} has "
                             + (", ".join(map(str, row)) or "none"))
        if not _fits(row[column], kind) and not (kind == "number" and row[column] is None):
            raise ValueError(f"data: {name} draws column {column!r} as {option} and needs a {kind} there, "
                             f"row {number} has {row[column]!r}")


def _fits(value, kind: str) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and (value != value or abs(value) == float("inf")):
        return False
    return kind == "any" or (kind == "number") == is_number
