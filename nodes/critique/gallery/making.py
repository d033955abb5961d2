"""A gallery made, or continued: what is left is measured by one engine or another, and the page is drawn."""
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...shared.picture_folder import shown
from ...shared.picture_table import PictureTable
from . import entries, page, parts, pool, ray_engine
from .measuring import Measurer, Settings

SMALLEST = 1e-6  # of numbers in a reference; what is less is what rounding leaves
RECENT = 30.0   # seconds over which the rate is told


class Request(NamedTuple):
    """source: folder, tar file, Parquet list or address. ray: the address of a cluster, "local", or empty for a pool
    of `workers` processes. again: measure those anew whose row has an error."""
    source: Path | str
    folder: Path
    settings: Settings
    workers: int
    ray: str = ""
    again: bool = False


class Made(NamedTuple):
    """What came of it: pictures found, measured now, of them with an error, seconds; sentences about the source; the
    files of the table and of the page."""
    found: int
    done: int
    errors: int
    seconds: float
    notes: list[str]
    table: Path
    page: Path


class Pace:
    """How far a run is, how fast and how long it will still take."""

    def __init__(self, total: int):
        self.total, self.done, self.errors, self.began = total, 0, 0, time.monotonic()
        self.marks = [(self.began, 0)]

    def add(self, done: int, errors: int) -> None:
        self.done, self.errors = self.done + done, self.errors + errors
        now = time.monotonic()
        if now - self.marks[-1][0] >= 1:
            self.marks = [mark for mark in self.marks if now - mark[0] <= RECENT] or self.marks[-1:]
            self.marks.append((now, self.done))

    @property
    def rate(self) -> float:
        """Pictures a second, lately."""
        since, before = self.marks[0]
        return (self.done - before) / max(time.monotonic() - since, 1e-9)

    def __str__(self) -> str:
        wrong = f", {self.errors} with an error" if self.errors else ""
        told, rate = f"{self.done} of {self.total} pictures{wrong}", self.rate
        if not rate:    # nothing is done yet
            return told
        left = round((self.total - self.done) / rate)
        return f"{told}, {rate:.3g} a second, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"


def make(request: Request, halt: Callable[[], object], tell: Callable[[Pace], object]) -> Made:
    """Measures what the table in `request.folder` does not hold yet. halt: called often, may raise; what was measured
    until then is kept. tell: called after each picture, before the first one too.

    Raises ValueError with one sentence for what is asked wrongly, before anything is written, and where the disk takes
    no more."""
    try:
        return _make(request, halt, tell)
    except OSError as error:
        raise ValueError(f"out: the gallery could not go on ({error.strerror or error}); what its table held before is "
                         "kept, and the same run goes on from there") from None


def _make(request: Request, halt, tell) -> Made:
    if request.workers < 1:
        raise ValueError(f"workers: expected at least one process, or 0 for as many as there are processors, got "
                         f"{request.workers}")
    columns = Measurer(request.settings).columns
    found = entries.find(request.source, halt)
    parts.begin(request.folder, about(request.settings, found, columns), told_before(request.settings))
    known, notes = parts.known(request.folder, request.again)
    left = [entry for entry in found.entries if known.get(entry.path) != entry.key]
    gone = _gone(known.keys() - {entry.path for entry in found.entries}, found, request.folder)
    parts.note_gone(request.folder, gone)
    notes += _of_gone(gone)
    del known
    pace = Pace(len(left))
    tell(pace)
    for done, errors in _measured(request, left, columns, halt) if left else ():
        pace.add(done, errors)
        tell(pace)
    seconds = time.monotonic() - pace.began
    drawn = page.write(PictureTable(request.folder), halt)
    return Made(len(found.entries), pace.done, pace.errors, seconds, [*found.notes, *notes], request.folder, drawn)


def _gone(missing: set[str], found: entries.Source, folder: Path) -> list[str]:
    """Those of the missing that are gone: what lies where nobody could look now stays what it was."""
    before = set(PictureTable(folder).gone)
    return sorted(name for name in missing if name in before or not found.may_hold(name))


def _of_gone(gone: list[str]) -> list[str]:
    if not gone:
        return []
    return [f"No longer there, and passed over until they are back: {shown(gone)}."]


def about(settings: Settings, found: entries.Source, columns: list[str]) -> dict:
    """What a table is of; it goes on only with the same."""
    return {"measures": settings.measures, "rubric": settings.rubric.strip(),
            "reference": _reference(settings.reference, _rounded(settings.reference)),
            "root": found.root, "source": found.place, "columns": columns}


def told_before(settings: Settings) -> dict[str, str]:
    """What earlier versions wrote of the same reference: the hash of all its digits."""
    return {"reference": _reference(settings.reference, settings.reference)}


def _reference(reference: dict | None, hashed: dict | None) -> str:
    if not reference:
        return "paintings"
    whole = json.dumps(hashed, sort_keys=True)
    return f"{reference['name']} {hashlib.sha256(whole.encode()).hexdigest()[:16]}"


def _rounded(value):
    """Numbers that belong together to 1/100,000 of the largest: the last digits of pictures that are measured anew
    depend on the machine and on how many threads it has."""
    if isinstance(value, dict) and all(isinstance(each, float) for each in value.values()):
        return [*sorted(value), *_rounded([value[name] for name in sorted(value)])]
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if not isinstance(value, list) or not all(isinstance(each, float) for each in value):
        return value
    scale = max([SMALLEST, *map(abs, value)])
    return [round(each / scale, 5) + 0.0 for each in value] + [f"{scale:.4g}"]


def _measured(request: Request, left: list, columns: list[str], halt) -> Iterator[tuple[int, int]]:
    """(pictures done, of them with an error), over and over; their rows are on the disk when it ends, however."""
    if request.ray:
        yield from ray_engine.counts(left, request.settings, request.ray, request.workers, request.folder, columns,
                                     halt)
        return
    writer = parts.PartWriter(request.folder, columns)
    try:
        for row in pool.rows(left, request.settings, request.workers, halt):
            writer.add(row)
            yield 1, int(bool(row["error"]))
    finally:
        writer.flush()
