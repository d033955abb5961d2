"""Rows for a chart from what other nodes give: JSON rows, JSON columns, or what is nested in records."""
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...shared.text_syntax import shorten

LISTED = 12  # names in an error
LARGEST, SMALLEST = 1e100, 1e-100  # what is drawn lies between; less is nothing, more is no measure of anything
QUOTED = 24  # characters of what came, in an error


class Table(NamedTuple):
    """Rows, the number of records that they were nested in, 0 for rows that stand for themselves, and whether a number
    of a picture was asked for that no row has."""
    rows: list[dict[str, Any]]
    records: int = 0
    missed: bool = False


def read(data: str, inside: str | None = None, picture=None) -> Table:
    """A list of objects; an object of equally long lists; or, with `inside`, the lists of that name in every record.

    An object inside a row gives a column for each of its entries, "measures.RMS contrast". Rows that were nested, or
    have objects inside, carry the number of their record as `picture`, from 1. With `inside` an object gives a
    row `name`, `value` for each of its entries. `picture` takes one record; without `inside` all, where none has that
    number, as it has always been.
    Raises ValueError with one sentence for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"data: expected JSON, got {data.strip()[:QUOTED]!r} ({str(why)[:120]})") from None
    records = found if isinstance(found, list) else [found]
    missed = not inside and picture is not None and not _counts(picture, records)
    records = _chosen(records, None if missed else picture)
    if inside:
        return Table(_in_range(_nested(records, inside)), len(records))
    if isinstance(found, Mapping):
        found = _columns(found)
        records = dict(enumerate(found, 1))
    if not isinstance(found, list):
        raise ValueError(f"data: expected a list of rows, got {type(found).__name__}")
    return Table(_in_range([_record(row, number, len(records)) for number, row in records.items()]), missed=missed)


def numbered(rows: Sequence[Mapping], column: str, into: str | None = None) -> list[dict]:
    """The rows, where several have one name in a column with a number behind it: each is drawn for itself.

    into: the column that these names are written to, for one that is drawn as a length too."""
    names = [str(row[column]) for row in rows]
    if len(set(names)) == len(names):
        return [{**row, into or column: row[column]} for row in rows]
    times, taken, following, made = Counter(names), set(names), Counter(), []
    for row, name in zip(rows, names, strict=True):
        own = name
        while times[name] > 1 and (own == name or own in taken):
            following[name] += 1
            own = f"{name} ({following[name]})"
        taken.add(own)
        made.append({**row, into or column: own})
    return made


def apart(column: str, other: str) -> str:
    """A name for a column that is written anew: its own, or another where that is the other one's too."""
    return column if column != other else f"{column} as a name"


def _in_range(rows: list[dict]) -> list[dict]:
    """The rows with numbers that can be drawn. Raises ValueError for one that is too large."""
    return [{column: _drawn(value, column, number) for column, value in row.items()}
            for number, row in enumerate(rows, 1)]


def _drawn(value, column: str, number: int):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value in (
            float("inf"), -float("inf")):
        return value
    if abs(value) > LARGEST:
        came = f"{value:.4g}" if isinstance(value, float) else f"an integer of {len(str(abs(value)))} digits"
        raise ValueError(f"data: expected numbers up to {LARGEST:g}, row {number} has {came} in "
                         f"{str(column)[:QUOTED]!r}")
    return 0.0 if value and abs(value) < SMALLEST else value


def listed(names) -> str:
    """The names of columns for an error, at most a dozen of them."""
    names = [str(name) for name in names]
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "") or "none"


def _record(row, number: int, count: int) -> dict:
    row = _row(row, number)
    nested = {name: inner for name, inner in row.items() if isinstance(inner, Mapping)}
    flat = {name: value for name, value in row.items() if name not in nested}
    wide = {**flat, **{f"{name}.{key}": value for name, inner in nested.items() for key, value in inner.items()}}
    return _tagged(wide, number, count, first=True) if nested else wide


def _tagged(row: dict, number: int, count: int, first: bool = False) -> dict:
    """A row with the number of its record. Of a single record the number comes last and gives way to a column of that
    name, so that a chart which looks for columns finds the row's own ones."""
    tag = {"picture": str(number)}
    if count == 1:
        return {**row, **({} if "picture" in row else tag)}
    return {**tag, **row} if first else {**row, **tag}


def _row(row, number: int) -> dict:
    if isinstance(row, Mapping):
        return dict(row)
    if isinstance(row, (int, float, str)):
        return {"name": str(number), "value": row}
    raise ValueError(f"data: expected every row to be an object, row {number} is {type(row).__name__}")


def _columns(found: Mapping) -> list[dict]:
    lists = {key: value for key, value in found.items() if isinstance(value, Sequence) and not isinstance(value, str)}
    if not lists:
        return [{"name": key, "value": value} for key, value in found.items()]
    lengths = {len(value) for value in lists.values()}
    if len(lengths) > 1:
        raise ValueError("data: expected columns of one length, got "
                         + ", ".join(f"{key} {len(value)}" for key, value in lists.items()))
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def of_one_picture(rows) -> tuple[list[dict], list[str]]:
    """The rows of the first picture, and a sentence where there are others."""
    pictures = list(dict.fromkeys(row.get("picture") for row in rows))
    if len(pictures) < 2:
        return rows, []
    return ([row for row in rows if row["picture"] == pictures[0]],
            [f"picture {pictures[0]} of {len(pictures)}; frame(picture=2) shows the next"])


def _chosen(records: list, picture) -> dict[int, Any]:
    """The records by their numbers, or the one that was asked for."""
    if picture is None or not records:      # of none it is said that there is nothing to draw
        return dict(enumerate(records, 1))
    if not _counts(picture, records):
        raise ValueError(f"spec: picture expected a number from 1 to {len(records)}, got "
                         f"{shorten(repr(picture), 48)}")
    return {int(picture): records[picture - 1]}


def _counts(picture, records: list) -> bool:
    return isinstance(picture, int) and 1 <= picture <= len(records)


def _nested(records: Mapping[int, Any], inside: str) -> list[dict]:
    rows = []
    for number, record in records.items():
        if not isinstance(record, Mapping) or inside not in record:
            has = listed(record) if isinstance(record, Mapping) else type(record).__name__
            raise ValueError(f"spec: rows expected a name inside every record of data, got "
                             f"{shorten(repr(inside), 48)}; record {number} has {has}")
        rows += [_tagged(_row(row, i), number, len(records))
                 for i, row in enumerate(_inner(record[inside], inside, number), 1)]
    return rows


def _inner(inner, inside: str, number: int) -> list:
    if isinstance(inner, Mapping):
        return [{"name": name, **(value if isinstance(value, Mapping) else {"value": value})}
                for name, value in inner.items()]
    if isinstance(inner, list):
        return inner
    has = "nothing" if inner is None else type(inner).__name__
    raise ValueError(f"spec: rows expected a list or an object at {shorten(repr(inside), 48)}, record "
                     f"{number} has {has} there")
