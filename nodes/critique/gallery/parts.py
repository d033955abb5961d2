"""The table on the disk while it grows: rows are gathered into parts, each of which appears whole or not at all."""
import csv
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...shared import picture_table
from ...shared.atomic_write import write_whole
from ...shared.picture_folder import quoted, shown
from ...shared.picture_table import ABOUT, GONE, PART, WHOLE, WORDS
from ..measures import FILTERED

HEAD = ("path", "size", "mtime_ns", "error")
OTHER = {"root": "other pictures", "source": "other pictures", "measures": "other measures", "rubric": "another rubric",
         "reference": "another reference"}
ROWS, SECONDS = 1000, 60.0  # of a part: what a kill costs at most


class PartWriter:
    """Takes rows and writes parts. columns: the names of the numbers, in the order of the table."""

    def __init__(self, folder: Path, columns: Sequence[str]):
        self.folder, self.names = folder, [*HEAD, *columns]
        self.parquet = picture_table.has_parquet()
        self.waiting: list[dict] = []
        self.since = time.monotonic()

    def add(self, row: dict) -> None:
        self.waiting.append(row)
        if len(self.waiting) >= ROWS or time.monotonic() - self.since > SECONDS:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            # By the clock, so that what is measured later counts for more.
            name = f"{PART}{time.time_ns():020}-{uuid.uuid4().hex[:8]}"
            write = self._parquet if self.parquet else self._csv
            write_whole(self.folder / f"{name}.{'parquet' if self.parquet else 'csv'}", write)
        self.waiting, self.since = [], time.monotonic()

    def _parquet(self, path: Path) -> None:
        import pyarrow as pa
        # The types are fixed: of a part of errors alone Arrow could not tell them.
        types = {**dict.fromkeys(WORDS, pa.string()), **dict.fromkeys(WHOLE, pa.int64())}
        columns = [pa.array([row.get(name, float("nan")) for row in self.waiting], types.get(name, pa.float64()))
                   for name in self.names]
        picture_table.parquet("out").write_table(pa.table(columns, names=self.names), path)

    def _csv(self, path: Path) -> None:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(self.names)
            writer.writerows([row.get(name, float("nan")) for name in self.names] for row in self.waiting)


def begin(folder: Path, about: dict, before: Mapping[str, str] = {}) -> None:
    """Makes the folder of a table, or takes up the one that is there. before: what an earlier version wrote of the same
    things.

    Raises ValueError with one sentence where it holds a table of something else: its rows would not fit."""
    folder.mkdir(parents=True, exist_ok=True)
    held = _held(folder)
    if held is not None:
        _check_same({"source": about["source"], **held}, about, before, quoted(folder.name))
    if held is None or any(held.get(what) != about[what] for what in ("source", *before)):
        text = json.dumps(about, indent=1, ensure_ascii=True)
        write_whole(folder / ABOUT, lambda path: path.write_text(text, encoding="utf-8"))


def _held(folder: Path) -> dict | None:
    """What the table in a folder is of; None where there is no table."""
    try:
        held = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        picture_table.names_in(held["columns"])
        return held
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError):
        raise ValueError(f"out: {ABOUT} in {quoted(folder.name)} cannot be read; choose another folder") from None


def _check_same(held: dict, about: dict, before: Mapping[str, str], called: str) -> None:
    for what, of in OTHER.items():
        if held.get(what) not in (about[what], before.get(what, about[what])):
            raise ValueError(f"out: {called} holds a table of {of}; choose another folder")
    if held["columns"] != about["columns"]:
        what = _other_columns(held["columns"], about["columns"])
        raise ValueError(f"out: {called} holds {what}; choose another folder")


def _other_columns(held: Sequence[str], now: Sequence[str]) -> str:
    """How a table of other columns came to be one."""
    more, fewer = [name for name in now if name not in held], [name for name in held if name not in now]
    if {*more, *fewer} and {*more, *fewer} <= {*FILTERED}:
        return f"a table made {'without' if more else 'with'} the file of AlexNet's filters"
    named = [*(f"{name} is new" for name in more), *(f"{name} is gone" for name in fewer)]
    which = shown(named, 3) or "in another order"
    return f"a table of other columns ({which}), as another version of this pack has them"


def note_gone(folder: Path, names: Sequence[str]) -> None:
    """Writes down which pictures that have a row are no longer in the source, where that is not what stands there."""
    held = picture_table.PictureTable(folder).gone
    if list(names) != held:
        text = json.dumps(list(names))
        write_whole(folder / GONE, lambda path: path.write_text(text, encoding="utf-8"))


def _check_opens(part: Path) -> None:
    try:
        part.open("rb").close()
    except OSError as error:
        raise ValueError(f"out: {part.name} cannot be opened ({error.strerror})") from None


def known(folder: Path, again: bool = False) -> tuple[dict[str, tuple[int, int] | None], list[str]]:
    """(size and time of each picture that has a row, sentences about parts that cannot be read). again: None in their
    place for pictures that have an error.

    A part that was damaged is put aside under another name, and its pictures are measured anew. Raises ValueError
    where nothing is wrong with the parts, but they cannot be opened here."""
    found, notes = {}, []
    if any(part.suffix == ".parquet" for part in picture_table.parts(folder)):
        picture_table.parquet("out")
    for part in picture_table.parts(folder):
        try:
            held = picture_table.read_part(part, HEAD if again else HEAD[:3])
        except ValueError as error:
            _check_opens(part)
            part.rename(part.with_name(part.name + ".damaged"))
            notes.append(f"{error}; it was put aside and its pictures are measured anew.")
            continue
        keys = zip(held["size"].tolist(), held["mtime_ns"].tolist(), strict=True)
        found.update(zip(held["path"], keys, strict=True))
        for path, error in zip(held["path"], held["error"], strict=True) if again else ():
            if error:
                found[path] = None
    return found, notes
