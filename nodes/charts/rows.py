"""Rows for a chart from what other nodes give: JSON rows, JSON columns, or lists nested in records."""
import json
from collections.abc import Mapping, Sequence
from typing import Any


def read(data: str, inside: str | None = None) -> list[dict[str, Any]]:
    """A list of objects; an object of equally long lists; or, with `inside`, the lists of that name in every record.

    Rows that were nested carry the number of their record as `picture`, from 1, where there are several; an object
    there gives a row `name`, `value` for each of its entries. Raises ValueError with one sentence for anything else."""
    try:
        found = json.loads(data)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"data: expected JSON, got {data.strip()[:24]!r} ({error})") from None
    if inside:
        return _nested(found, inside)
    if isinstance(found, Mapping):
        found = _columns(found)
    if not isinstance(found, list):
        raise ValueError(f"data: expected a list of rows, got {type(found).__name__}")
    return [_row(row, number) for number, row in enumerate(found, 1)]


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


def _nested(found, inside: str) -> list[dict]:
    records = found if isinstance(found, list) else [found]
    rows = []
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping) or inside not in record:
            has = ", ".join(record) if isinstance(record, Mapping) else type(record).__name__
            raise ValueError(f"spec: rows expected a name inside every record of data, got {inside!r}; "
                             f"record {number} has {has}")
        inner = record[inside]
        inner = [{"name": k, **(v if isinstance(v, Mapping) else {"value": v})} for k, v in inner.items()] \
            if isinstance(inner, Mapping) else inner
        tag = {"picture": str(number)} if len(records) > 1 else {}
        rows += [{**_row(row, i), **tag} for i, row in enumerate(inner, 1)]
    return rows
