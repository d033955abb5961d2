"""A table of pictures and what was measured of them, as Critique Gallery writes it: parts in a folder, of one schema.

A part is a Parquet file, or a CSV file where pyarrow is not installed. Later parts hold what is newer: of a picture
that was measured twice the last row counts. A list beside the parts names the pictures that have a row and were gone
when the source was looked through last; they are passed over until they are back.
"""
import csv
import json
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from .picture_folder import named, quoted

ABOUT = "gallery.json"
PART = "part-"
GONE = "gone.json"
WORDS = ("path", "error")           # the columns that are no numbers
WHOLE = ("size", "mtime_ns")


def parquet(name: str):
    """pyarrow.parquet. Raises ValueError, which begins with the input's name, where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ValueError(f"{name}: Parquet files need pyarrow, which is not installed; install it into ComfyUI's "
                         "Python with pip install pyarrow") from None
    return pyarrow.parquet


def has_parquet() -> bool:
    try:
        parquet("table")
        return True
    except ValueError:
        return False


def parts(folder: Path) -> list[Path]:
    """The parts of a table, the oldest first."""
    return sorted(path for path in folder.glob(f"{PART}*") if path.suffix in (".parquet", ".csv"))


def read_part(part: Path, names: Sequence[str]) -> dict[str, list | np.ndarray]:
    """Columns of a part: lists of str for WORDS, int64 arrays for WHOLE, float64 arrays for the others.

    Raises ValueError with one sentence for a part that cannot be read."""
    try:
        return (_from_parquet if part.suffix == ".parquet" else _from_csv)(part, names)
    except (OSError, LookupError, ValueError, StopIteration, csv.Error) as error:   # pyarrow's own are of these kinds
        raise ValueError(f"table: {part.name} cannot be read ({why(error, part)})") from None


def names_in(value: object) -> list[str]:
    """A list of names as it was read of JSON. Raises ValueError where it is something else."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("no list of names")
    return value


def why(error: Exception, file: Path) -> str:
    """What a reader of files said, without the server's path."""
    return quoted(str(error).replace(str(file), file.name))


def _from_parquet(part: Path, names: Sequence[str]) -> dict:
    held = parquet("table").read_table(part, columns=list(names))
    return {name: held[name].to_pylist() if name in WORDS else held[name].to_numpy() for name in names}


def _from_csv(part: Path, names: Sequence[str]) -> dict:
    with open(part, encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows)
        places = [header.index(name) for name in names]
        found = [[row[place] for place in places] for row in rows]
    columns = list(map(list, zip(*found, strict=True))) or [[] for _ in names]
    return {name: column if name in WORDS else np.array(column, np.int64 if name in WHOLE else np.float64)
            for name, column in zip(names, columns, strict=True)}


class PictureTable:
    """The pictures of a gallery that were measured, by name, and their numbers, which are read when they are asked for.
    """

    def __init__(self, folder: Path):
        """Raises ValueError with one sentence where there is no table in the folder, or it cannot be read."""
        try:
            self.about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self.columns: list[str] = names_in(self.about["columns"])
            [self.root] = names_in([self.about["root"]])
        except (OSError, ValueError, LookupError, TypeError):
            raise ValueError(f"table: expected a folder that Critique Gallery made, got "
                             f"{quoted(folder.name)}") from None
        self.folder, self.parts = folder, parts(folder)
        self._known: tuple[list[str], np.ndarray, dict[str, str]] | None = None
        self._held: dict[str, np.ndarray] = {}

    def load(self, columns: Sequence[str], halt: Callable[[], object] = lambda: None) -> None:
        """Reads columns of numbers that are not held yet, each part once for all of them: a CSV file is read whole for
        a single one. halt: called before each part, may raise."""
        missing = [name for name in dict.fromkeys(columns) if name not in self._held]
        words = WORDS if self._known is None else ()
        if not (missing or words):
            return
        blocks, paths, errors = {name: [] for name in missing}, [], []
        for part in self.parts:
            halt()
            held = read_part(part, [*words, *missing])
            for name in missing:
                blocks[name].append(np.asarray(held[name], np.float64))
            if words:
                paths += held["path"]
                errors += held["error"]
        if words:
            self._known = self._last_rows(paths, errors)
        for name in missing:    # one after another is joined and let go
            self._held[name] = np.concatenate(blocks.pop(name) or [np.zeros(0)])[self._known[1]]

    def _last_rows(self, paths: Sequence[str], errors: Sequence[str]) -> tuple[list[str], np.ndarray, dict[str, str]]:
        """(names, the row of each, errors by name): the last row of each picture, by name."""
        rows = dict(zip(paths, range(len(paths)), strict=True))
        for path in self.gone:
            rows.pop(path, None)
        wrong = {path: errors[at] for path, at in rows.items() if errors[at]}
        names = sorted(path for path in rows if path not in wrong)
        return names, np.array([rows[name] for name in names], np.int64), wrong

    @cached_property
    def gone(self) -> list[str]:
        """Those that have a row and are no longer in the source, in order."""
        try:
            return names_in(json.loads((self.folder / GONE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise ValueError(f"table: {GONE} cannot be read ({why(error, self.folder / GONE)})") from None

    @property
    def names(self) -> list[str]:
        """Of the pictures that were measured, in order; what has an error is not among them."""
        self.load(())
        return self._known[0]

    @property
    def errors(self) -> dict[str, str]:
        """Why the others were not, by name."""
        self.load(())
        return self._known[2]

    def numbers(self, column: str) -> np.ndarray:
        """float64, one for each of `names`; NaN where it was not measured. Of several columns `load` them first."""
        self.load((column,))
        return self._held[column]

    def path(self, name: str) -> Path:
        """Where a picture lies. Raises ValueError where it is no file of its own, as in a tar file."""
        if not self.root or self.is_packed(name):
            raise ValueError(f"table: {quoted(name)} is no file of its own; make the gallery of a folder of pictures")
        return Path(named(self.root, name))

    def is_packed(self, name: str) -> bool:
        """Whether it lies in a tar file; a folder may have a name such as old.tar, too."""
        above = [parent for parent in Path(name).parents if parent.suffix.lower() == ".tar"]
        return any(os.path.isfile(named(self.root, str(parent))) for parent in above)

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, float]]:
        """Of each of `names` its numbers in the columns."""
        self.load(columns)
        held = np.stack([self.numbers(column) for column in columns], 1) if columns else np.zeros((len(self.names), 0))
        return (dict(zip(columns, row.tolist(), strict=True)) for row in held)


def locate(table: str, output: Callable[[], str]) -> Path:
    """The folder of a table that was typed or connected: an absolute path, or the name of a gallery in the output
    folder. Raises ValueError with one sentence where there is none."""
    typed = Path(table.strip())
    if ".." in typed.parts:
        raise ValueError(f"table: expected the name of a gallery or an absolute path, got {quoted(table)}")
    try:
        typed = typed.expanduser()
        composed = unicodedata.normalize("NFC", str(typed))     # as galleries are named
        places = [typed] if typed.is_absolute() else [Path(output(), *above, each) for each in (typed, composed)
                                                      for above in (["galleries"], [])]
        if place := next((place for place in places if (place / ABOUT).is_file()), None):
            return place
    except (OSError, RuntimeError, ValueError):     # a name that no file system takes, or the home of nobody
        pass
    raise ValueError(f"table: expected what Critique Gallery gives, or the name of a gallery, got {quoted(table)}")


def root_of(table: str, output: Callable[[], str]) -> str:
    """The folder whose pictures a table has; "" where there is none, which the run then says."""
    try:
        return PictureTable(locate(table, output)).root
    except (ValueError, OSError):
        return ""


def fingerprint(table: str, output: Callable[[], str]) -> str:
    """Changes when the table does; the text itself where there is none, which the run then says."""
    try:
        folder = locate(table, output)
        gone = [str((folder / GONE).stat().st_mtime_ns)] if (folder / GONE).is_file() else []
        return " ".join([*(part.name for part in parts(folder)), *gone])
    except (ValueError, OSError, RuntimeError):
        return table
