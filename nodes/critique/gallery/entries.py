"""Which pictures a gallery has: those of a folder, of tar files, of a list in Parquet, of an object store.

No picture is opened: each is told by its name, its size and when it was written.
"""
import math
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...shared.picture_folder import (
    Listing,
    is_picture,
    list_folder,
    quoted,
    require_pictures,
    shown,
)
from ...shared.picture_table import parquet, why
from ...shared.text_syntax import printable

LISTS, TARS = (".parquet",), (".tar",)
NS = 10 ** 9
LATEST = 2 ** 63 - 1        # ns since 1970 in the year 2262: as tables hold times
CUT = "unexpected end of data"


class Entry(NamedTuple):
    """A picture by the name it has in the table, its bytes, when it was written (ns since 1970) and where it lies: a
    file, bytes of a file from `start` on (in a tar file), or an address of an object store."""
    path: str
    size: int
    mtime_ns: int
    place: str
    start: int | None = None

    @classmethod
    def dated(cls, path: str, size: int, mtime_ns: float, place: str, start: int | None = None) -> "Entry":
        """One whose time is any that a file can say, even none at all: it becomes the nearest that a table holds."""
        mtime_ns = 0 if math.isnan(mtime_ns) else int(max(-LATEST, min(LATEST, mtime_ns)))
        return cls(path, min(LATEST, size), mtime_ns, place, start)

    @property
    def key(self) -> tuple[int, int]:
        """What changes when the picture does."""
        return self.size, self.mtime_ns


class Source(NamedTuple):
    """root: the folder that names of files are below, empty where the pictures are no files of their own."""
    entries: list[Entry]
    root: str
    notes: list[str]


def find(source: Path | str, halt: Callable[[], object]) -> Source:
    """The pictures of a folder (and of the tar files in it), of a tar file, of a Parquet list, of an address such as
    s3://bucket/folder. halt: called every few pictures, may raise.

    Raises ValueError with one sentence where there is nothing of the kind, or not one picture in it."""
    if "://" in str(source):
        return _checked(Source(list(_stored(str(source), halt)), "", []), str(source))
    path = Path(source)
    if path.suffix.lower() in LISTS and path.is_file():
        return _checked(_once(Source(list(_listed(path, halt)), str(path.parent.resolve()), [])), path.name)
    if path.suffix.lower() in TARS and path.is_file():
        return _checked(_once(Source(list(_packed(path, path.name, halt)), "", [])), path.name)
    if path.is_dir():
        return _once(_in_folder(path, halt))
    raise ValueError(f"folder: expected a folder, a .tar file or a .parquet list that exists, got "
                     f"{quoted(path.name or str(source))}")


def _checked(source: Source, name: str) -> Source:
    if not source.entries:
        raise ValueError(f"folder: expected at least one picture, got none in {quoted(name)}.")
    return source


def _once(source: Source) -> Source:
    """The last picture of each name, as tar itself unpacks them: a table has one row for each."""
    last = {entry.path: entry for entry in source.entries}
    if len(last) == len(source.entries):
        return source
    twice = [name for name, times in Counter(entry.path for entry in source.entries).items() if times > 1]
    return source._replace(entries=list(last.values()), notes=[*source.notes, f"There more than once, of which the "
                                                               f"last one counts: {shown(twice)}."])


def _in_folder(root: Path, halt) -> Source:
    listing, entries, notes = list_folder(root, halt), [], []
    for path in listing.pictures:
        try:
            status = path.stat()
            entries.append(Entry.dated(listing.name(path), status.st_size, status.st_mtime_ns, str(path)))
        except OSError as error:    # gone since it was listed
            notes.append(f"{listing.name(path)}: {error.strerror}.")
    packed, broken = _of_tars([path for path in listing.others if path.suffix.lower() in TARS], listing, halt)
    if not entries + packed and broken:
        raise ValueError(f"folder: expected at least one picture, got none in {quoted(root.name)}. {broken[0]}")
    if not entries + packed:
        require_pictures(listing)
    return Source(entries + packed, str(root.resolve()), notes + broken)


def _of_tars(files: Sequence[Path], listing: Listing, halt) -> tuple[list[Entry], list[str]]:
    """The pictures in the tar files of a folder, and a sentence about those that are damaged or none: a download that
    goes on must not stop the folder it lies in."""
    entries, broken = [], []
    for path in files:
        name = listing.name(path)
        try:
            for entry in _packed(path, name, halt):
                entries.append(entry)
        except NotATar as error:
            broken.append(f"{name} ({error.reason})")
    return entries, [f"Left out whole, or from where they are damaged, as no tar files without compression: "
                     f"{shown(broken)}."] if broken else []


class NotATar(ValueError):
    """reason: what was wrong, as its reader says."""

    def __init__(self, name: str, error: Exception | str):
        self.reason = quoted(str(getattr(error, "strerror", None) or error))
        super().__init__(f"folder: expected a tar file without compression, got {quoted(name)} ({self.reason})")


def _packed(path: Path, name: str, halt) -> Iterator[Entry]:
    """The pictures in a tar file, such as a shard of a WebDataset. Packed without compression: each is then read where
    it lies, by whoever measures it. Raises NotATar where it is none, or from where on it is damaged."""
    members = _members(path, name)
    for number, member in enumerate(members):
        if number % 100 == 0:
            halt()
        if member.isfile() and is_picture(Path(member.name)) and not member.sparse:
            yield Entry.dated(f"{name}/{printable(member.name)}", member.size, _ns(member.mtime), str(path),
                              member.offset_data)


def _members(path: Path, name: str) -> Iterator[tarfile.TarInfo]:
    """Those that lie in the file whole; of one that is cut the table would keep the error when the file is whole."""
    try:
        whole = path.stat().st_size
        with tarfile.open(path, "r:") as held:
            for member in held:
                if not 0 <= member.size <= whole - member.offset_data:
                    raise NotATar(name, CUT)
                yield member
            held.fileobj.seek(held.offset)      # tarfile ends at a damaged header as at the end
            if held.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise NotATar(name, CUT if whole % tarfile.BLOCKSIZE else "damaged header")
    except NotATar:
        raise
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:    # of headers with nonsense in them
        raise NotATar(name, error) from None


def _ns(seconds: float) -> float:
    """Whole nanoseconds, or what is no number or has no end as it is."""
    return int(seconds * NS) if math.isfinite(seconds) else seconds


def _listed(path: Path, halt) -> Iterator[Entry]:
    """The files that the column `path` of a Parquet file names, absolute or below its folder; `size` and `mtime_ns`
    beside it spare a look at each."""
    try:
        held = parquet("folder").read_table(path)
    except (OSError, LookupError, ValueError, NotImplementedError) as error:   # pyarrow's own are of these kinds
        if str(error).startswith("folder: "):
            raise
        raise ValueError(f"folder: {quoted(path.name)} cannot be read ({why(error, path)})") from None
    if "path" not in held.column_names:
        raise ValueError(f"folder: expected a column path in {quoted(path.name)}, got "
                         f"{quoted(', '.join(held.column_names))}")
    columns = [held[name].to_pylist() if name in held.column_names else [None] * held.num_rows
               for name in ("path", "size", "mtime_ns")]
    if any(not isinstance(name, str | None) for name in columns[0]):
        raise ValueError(f"folder: expected names of files in the column path of {quoted(path.name)}, got "
                         f"{quoted(str(held['path'].type))}")
    for number, (name, size, mtime_ns) in enumerate(zip(*columns, strict=True)):
        if number % 1000 == 0:
            halt()
        if name:
            yield _entry_of(path.parent / name, name, size, mtime_ns)


def _entry_of(file: Path, name: str, size: int | None, mtime_ns: int | None) -> Entry:
    if not (isinstance(size, int) and isinstance(mtime_ns, int)):
        try:
            status = file.stat()
            size, mtime_ns = status.st_size, status.st_mtime_ns
        except (OSError, ValueError):   # whoever reads it says so in its row
            size, mtime_ns = 0, 0
    return Entry.dated(name, size, mtime_ns, str(file))


def _stored(address: str, halt) -> Iterator[Entry]:
    """The pictures below an address, through pyarrow's file systems: s3://, gs://, hdfs://, file:// and so on."""
    parquet("folder")
    from pyarrow import fs
    try:
        system, path = fs.FileSystem.from_uri(address)
        found = system.get_file_info(fs.FileSelector(path, recursive=True))
    except (OSError, ValueError) as error:
        raise ValueError(f"folder: expected an address that pyarrow can list, got {quoted(address)} "
                         f"({quoted(str(error))})") from None
    scheme = address.split("://")[0]
    for number, info in enumerate(sorted(found, key=lambda info: info.path)):
        if number % 1000 == 0:
            halt()
        if info.is_file and is_picture(Path(info.path)):
            name = info.path.removeprefix(path).lstrip("/")
            yield Entry(name, info.size, info.mtime_ns or 0, f"{scheme}://{info.path}")
