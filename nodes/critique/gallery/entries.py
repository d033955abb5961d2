"""Which pictures a gallery has: those of a folder, of tar files, of a list in Parquet, of an object store.

No picture is opened: each is told by its name, its size and when it was written.
"""
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...shared.picture_folder import is_picture, list_folder, printable, quoted, require_pictures
from ...shared.picture_table import parquet, why

LISTS, TARS = (".parquet",), (".tar",)
NS = 10 ** 9


class Entry(NamedTuple):
    """A picture by the name it has in the table, its bytes, when it was written (ns since 1970) and where it lies: a
    file, bytes of a file from `start` on (in a tar file), or an address of an object store."""
    path: str
    size: int
    mtime_ns: int
    place: str
    start: int | None = None

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
        return _checked(Source(list(_listed(path, halt)), str(path.parent.resolve()), []), path.name)
    if path.suffix.lower() in TARS and path.is_file():
        return _checked(Source(list(_packed(path, path.name, halt)), "", []), path.name)
    if path.is_dir():
        return _in_folder(path, halt)
    raise ValueError(f"folder: expected a folder, a .tar file or a .parquet list that exists, got "
                     f"{quoted(path.name or str(source))}")


def _checked(source: Source, name: str) -> Source:
    if not source.entries:
        raise ValueError(f"folder: expected at least one picture, got none in {quoted(name)}.")
    return source


def _in_folder(root: Path, halt) -> Source:
    listing, entries, notes = list_folder(root, halt), [], []
    for path in listing.pictures:
        try:
            status = path.stat()
            entries.append(Entry(listing.name(path), status.st_size, status.st_mtime_ns, str(path)))
        except OSError as error:    # gone since it was listed
            notes.append(f"{listing.name(path)}: {error.strerror}.")
    for path in listing.others:
        if path.suffix.lower() in TARS:
            entries += _packed(path, listing.name(path), halt)
    if not entries:
        require_pictures(listing)
    return Source(entries, str(root.resolve()), notes)


def _packed(path: Path, name: str, halt) -> Iterator[Entry]:
    """The pictures in a tar file, such as a shard of a WebDataset. Packed without compression: each is then read where
    it lies, by whoever measures it."""
    try:
        with tarfile.open(path, "r:") as held:
            for number, member in enumerate(held):
                if number % 100 == 0:
                    halt()
                if member.isfile() and is_picture(Path(member.name)) and not member.sparse:
                    yield Entry(f"{name}/{printable(member.name)}", member.size, int(member.mtime * NS), str(path),
                                member.offset_data)
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"folder: expected a tar file without compression, got {quoted(name)} "
                         f"({getattr(error, 'strerror', None) or error})") from None


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
    return Entry(name, size, mtime_ns, str(file))


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
