"""Which pictures a gallery has: those of a folder, of tar files, of a list in Parquet, of an object store.

No picture is opened: each is told by its name, its size and when it was written.
"""
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...shared.picture_folder import (
    CAPTIONS,
    NO_PICTURE,
    SYSTEM,
    UNREAD,
    Listing,
    is_hidden_name,
    is_picture,
    list_folder,
    quoted,
    reason_of,
    shown,
    why_left_out,
)
from ...shared.picture_table import parquet, why
from ...shared.text_syntax import printable
from .tar_files import Member, NotATar, members

LISTS, TARS = (".parquet",), (".tar",)
LISTED = ("path", "size", "mtime_ns")   # the columns of a list
NS = 10 ** 9
LATEST = 2 ** 63 - 1        # ns since 1970 in the year 2262: as tables hold times


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
    """root: the folder that names of files are below, empty where the pictures are no files of their own. place: the
    tar file, list or address, empty for a folder. unread: names of what could not be looked through."""
    entries: list[Entry]
    root: str
    notes: list[str]
    place: str = ""
    unread: frozenset[str] = frozenset()

    def may_hold(self, name: str) -> bool:
        """Whether a picture that was not found may lie in what could not be looked through."""
        path = PurePosixPath(name)
        return bool(self.unread) and any(str(each) in self.unread for each in (path, *path.parents))


def find(source: Path | str, halt: Callable[[], object]) -> Source:
    """The pictures of a folder (and of the tar files in it), of a tar file, of a Parquet list, of an address such as
    s3://bucket/folder. halt: called every few pictures, may raise.

    Raises ValueError with one sentence where there is nothing of the kind, or not one picture in it."""
    if "://" in str(source):
        return _checked(_at_address(str(source), halt), str(source))
    path = Path(source)
    if path.suffix.lower() in LISTS and path.is_file():
        found = Source(list(_listed(path, halt)), str(path.parent.resolve()), [], str(path.resolve()))
        return _checked(_once(found), path.name)
    if path.suffix.lower() in TARS and path.is_file():
        return _checked(_once(_of_tar(path, halt)), path.name)
    if path.is_dir():
        return _checked(_once(_in_folder(path, halt)), path.name)
    raise ValueError(f"folder: expected a folder, a .tar file or a .parquet list that exists, got "
                     f"{quoted(path.name or str(source))}")


def _checked(source: Source, name: str) -> Source:
    if not source.entries:
        raise ValueError(" ".join([f"folder: expected at least one picture, got none in {quoted(name)}.",
                                   *source.notes]))
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
    listing, unread = list_folder(root, halt), set()
    entries = list(_files(listing, unread))
    packed, broken = _of_tars([path for path in listing.others if path.suffix.lower() in TARS], listing, unread, halt)
    unread |= {name for name, why in listing.left_out if why.startswith(UNREAD)}
    used = (*TARS, *CAPTIONS) if entries or packed else TARS
    others = [path for path in listing.others if path.suffix.lower() not in used]
    return Source(entries + packed, str(root.resolve()), broken + _notes(listing, others), "", frozenset(unread))


def _files(listing: Listing, unread: set[str]) -> Iterator[Entry]:
    """The pictures that are files; one that cannot be looked at goes to what is left out."""
    for path in listing.pictures:
        name = listing.name(path)
        try:
            status = path.stat()
        except OSError as error:
            listing.left_out.append((name, f"the files cannot be looked at ({error.strerror})"))
            if not isinstance(error, FileNotFoundError):    # which is gone since it was listed
                unread.add(name)
        else:
            yield Entry.dated(name, status.st_size, status.st_mtime_ns, str(path))


def _of_tars(files: Sequence[Path], listing: Listing, unread: set[str], halt) -> tuple[list[Entry], list[str]]:
    """The pictures in the tar files of a folder, and a sentence about those that are damaged or none: a download that
    goes on must not stop the folder it lies in."""
    entries, broken = [], []
    for path in files:
        name = listing.name(path)
        try:
            for entry in _packed(path, name, listing, halt):
                entries.append(entry)
        except NotATar as error:
            unread.add(name)
            broken.append(f"{name} ({error.reason})")
    return entries, [f"Left out whole, or from where they are damaged, as no tar files without compression: "
                     f"{shown(broken)}."] if broken else []


def _of_tar(path: Path, halt) -> Source:
    listing = Listing(path.parent, [], [], [], [])
    entries = list(_packed(path, path.name, listing, halt))
    return Source(entries, "", _notes(listing, []), str(path.resolve()))


def _packed(path: Path, name: str, listing: Listing, halt) -> Iterator[Entry]:
    """The pictures in a tar file, such as a shard of a WebDataset. Raises NotATar where it is none, or from where on it
    is damaged."""
    for number, member in enumerate(members(path, name)):
        if number % 100 == 0:
            halt()
        if _is_taken(listing, f"{name}/", member.name, member.why):
            yield _entry_in(path, name, member)


def _notes(listing: Listing, others: Sequence[Path]) -> list[str]:
    listing.hidden[:] = dict.fromkeys(listing.hidden)   # in a tar file a hidden folder is met with each of its files
    return why_left_out(listing, others)


def _entry_in(path: Path, name: str, member: Member) -> Entry:
    return Entry.dated(f"{name}/{printable(member.name)}", member.size, _ns(member.mtime), str(path), member.start)


def _is_taken(listing: Listing, above: str, name: str, why: str = "") -> bool:
    """Whether a file is a picture, by the rules of a folder, in what gives only names; pictures and videos that are
    none here, and what is hidden, go to the listing. above: what stands before the name; why: a reason against it."""
    parts = PurePosixPath(name).parts
    hidden = next((number for number, part in enumerate(parts) if is_hidden_name(part) and part != ".."), None)
    if hidden is not None:
        if parts[hidden].lower() not in SYSTEM:
            listing.hidden.append(above + printable("/".join(parts[:hidden + 1])))
        return False
    path = Path(name)
    why = why if is_picture(path) else reason_of(path)
    if why not in ("", NO_PICTURE):     # beside its pictures a WebDataset holds what is told of them
        listing.left_out.append((above + printable(name), why))
    return not why


def _ns(seconds: float) -> float:
    """Whole nanoseconds, or what is no number or has no end as it is."""
    return int(seconds * NS) if math.isfinite(seconds) else seconds


def _listed(path: Path, halt) -> Iterator[Entry]:
    """The files that the column `path` of a Parquet file names, absolute or below its folder; `size` and `mtime_ns`
    beside it spare a look at each."""
    held = _columns_of(path)
    if wrong := {type(name).__name__ for name in held["path"]} - {"str", "NoneType"}:
        raise ValueError(f"folder: expected names of files in the column path of {quoted(path.name)}, got "
                         f"{', '.join(sorted(wrong))}")
    for number, (name, size, mtime_ns) in enumerate(zip(*held.values(), strict=True)):
        if number % 1000 == 0:
            halt()
        if name:
            yield _entry_of(path.parent / name, name, size, mtime_ns)


def _columns_of(path: Path) -> dict[str, list]:
    """The columns of a list by their names, None where it has none of such a name. No others are read: the pictures
    themselves may lie in one."""
    try:
        with parquet("folder").ParquetFile(path) as file:
            there = file.schema_arrow.names
            held = file.read(columns=[name for name in LISTED if name in there])
            columns = {name: held[name].to_pylist() if name in there else [None] * held.num_rows for name in LISTED}
    except (OSError, LookupError, ValueError, NotImplementedError) as error:   # pyarrow's own are of these kinds
        if str(error).startswith("folder: "):
            raise
        raise ValueError(f"folder: {quoted(path.name)} cannot be read ({why(error, path)})") from None
    if "path" not in there:
        raise ValueError(f"folder: expected a column path in {quoted(path.name)}, got {quoted(', '.join(there))}")
    return columns


def _entry_of(file: Path, name: str, size: int | None, mtime_ns: int | None) -> Entry:
    if not (isinstance(size, int) and isinstance(mtime_ns, int)):
        try:
            status = file.stat()
            size, mtime_ns = status.st_size, status.st_mtime_ns
        except (OSError, ValueError):   # whoever reads it says so in its row
            size, mtime_ns = 0, 0
    return Entry.dated(name, size, mtime_ns, str(file))


def _at_address(address: str, halt) -> Source:
    """The pictures below an address, through pyarrow's file systems: s3://, gs://, hdfs://, file:// and so on. Keys and
    options in the address do not become part of its place, which stands in the table."""
    parquet("folder")
    from pyarrow import fs
    try:
        system, path = fs.FileSystem.from_uri(address)
        found = system.get_file_info(fs.FileSelector(path, recursive=True))
    except (OSError, ValueError) as error:
        raise ValueError(f"folder: expected an address that pyarrow can list, got {quoted(address)} "
                         f"({quoted(str(error))})") from None
    scheme, entries, listing = address.split("://")[0], [], Listing(Path(path), [], [], [], [])
    for number, info in enumerate(sorted(found, key=lambda info: info.path)):
        if number % 1000 == 0:
            halt()
        name = info.path.removeprefix(path).lstrip("/")
        if info.is_file and _is_taken(listing, "", name):
            entries.append(Entry(name, info.size, info.mtime_ns or 0, f"{scheme}://{info.path}"))
    return Source(entries, "", _notes(listing, []), f"{scheme}://{path.rstrip('/')}")
