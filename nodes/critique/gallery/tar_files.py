"""What lies in a tar file, and where. Packed without compression: each picture is then read where it lies, by whoever
measures it."""
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...shared.picture_folder import quoted

CUT = "unexpected end of data"


class NotATar(ValueError):
    """reason: what was wrong, as its reader says."""

    def __init__(self, name: str, error: Exception | str):
        self.reason = quoted(str(getattr(error, "strerror", None) or error))
        super().__init__(f"folder: expected a tar file without compression, got {quoted(name)} ({self.reason})")


class Member(NamedTuple):
    """A file by its name in a tar file, its bytes, its time in seconds since 1970, and where in the tar file it begins.
    why: the reason where it does not lie there as it is."""
    name: str
    size: int = 0
    mtime: float = 0
    start: int = 0
    why: str = ""


def members(path: Path, name: str) -> Iterator[Member]:
    """All but folders. A hard link has the bytes of the file before it that it names: so tar packs a file that it meets
    a second time. Raises NotATar where it is none, or from where on it is damaged."""
    files = {}
    for header in _headers(path, name):
        if header.isdir():
            continue
        held = files.get(posixpath.normpath(header.linkname)) if header.islnk() else header
        if why := _why_not(header, held):
            yield Member(header.name, why=why)
        else:
            files[posixpath.normpath(header.name)] = held
            yield Member(header.name, held.size, held.mtime, held.offset_data)


def _why_not(header: tarfile.TarInfo, held: tarfile.TarInfo | None) -> str:
    if header.issym():
        return "they are symbolic links in a tar file"
    if held is None:
        return "the links lead nowhere"
    if held.sparse:
        return "they are sparse files in a tar file"
    return "" if held.isfile() else "they are no ordinary files"


def _headers(path: Path, name: str) -> Iterator[tarfile.TarInfo]:
    """Of what lies in the file whole: of a cut picture the table would keep the error when the file is whole."""
    try:
        whole = path.stat().st_size
        with tarfile.open(path, "r:") as held:
            for header in held:
                size = 0 if header.islnk() or header.issym() else header.size   # links may say that of their file
                if not 0 <= size <= whole - header.offset_data:
                    raise NotATar(name, CUT)
                yield header
            held.fileobj.seek(held.offset)      # tarfile ends at a damaged header as at the end
            if held.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise NotATar(name, CUT if whole % tarfile.BLOCKSIZE else "damaged header")
    except NotATar:
        raise
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:    # of headers with nonsense in them
        raise NotATar(name, error) from None
