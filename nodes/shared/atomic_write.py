"""Files that appear complete or not at all, whatever ends their writing: a kill, a full disk, a power cut.

A file is written beside its place as `<begin of its name>.<process>.<32 hex digits>.tmp`, brought to the disk, and
only then gets its name in one step. What a killed process leaves there is removed by a later one.

Whoever may read and write a file that is replaced may do so with the new one; a new file is as open as the system makes
files here, whatever its writer does: safetensors makes files that their owner alone can read.
"""
import logging
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

LEFTOVER = re.compile(r".+?\.(?P<process>\d{1,10})\.[0-9a-f]{32}\.tmp", re.DOTALL)
OLD = 24 * 3600.0  # seconds: another machine may write into the same folder, and its processes are not seen here

BEGIN = 24  # characters of a name that stand in that of the file beside: the whole of a long one would not fit

_looked_into: set[Path] = set()  # for leftovers, by this process, which leaves none itself


def write_whole(path: str | os.PathLike, write: Callable[[Path], None], outlasts_power_cuts: bool = True) -> None:
    """Calls `write` with a path beside, and gives what lies there its name; makes the folder if needed.

    Where the name is a link, the file that it leads to is written, and the link stays.
    outlasts_power_cuts: waits for the disk; off for what is checked when it is read and can be made again."""
    path = Path(path)
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    with _written_beside(path, write, outlasts_power_cuts) as beside:
        _permit(beside, _mode(path))
        os.replace(beside, path)


def write_new(folder: Path, stem: str, ending: str, write: Callable[[Path], None]) -> Path:
    """The same under a name that is free: <stem><ending>, or <stem>_00001<ending> and so on; returns where.

    Never over another file, also where two processes write at once."""
    with _written_beside(folder / f"{stem}{ending}", write) as beside:
        names = (f"{stem}_{number:05}{ending}" if number else f"{stem}{ending}" for number in count())
        return next(path for path in map(folder.joinpath, names) if _takes(beside, path))


def write_unless_there(path: Path, write: Callable[[Path], None]) -> bool:
    """The same under this name alone; False, and what lies there stays, where something has it by then."""
    with _written_beside(path, write) as beside:
        return _takes(beside, path)


def clear_leftovers(folders: Iterable[Path]) -> list[str]:
    """Removes what processes that live no longer left beside their files, a day old or more; returns the names."""
    removed = []
    for folder in folders:
        with suppress(OSError):  # a folder that cannot be read holds nothing that could be removed
            removed += [entry.name for entry in os.scandir(folder) if _abandoned(entry) and _removed(entry.path)]
    if removed:
        logging.warning("Removed what an interrupted run had left unfinished: %s", ", ".join(sorted(removed)))
    return removed


@contextmanager
def _written_beside(path: Path, write: Callable[[Path], None], waits: bool = True) -> Iterator[Path]:
    """A finished file beside `path`, to be given its name inside; on the disk, with its folder, afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent not in _looked_into:    # a folder of thousands would be read for every file
        _looked_into.add(path.parent)
        clear_leftovers([path.parent])
    beside = path.with_name(f"{path.name[:BEGIN]}.{os.getpid()}.{uuid.uuid4().hex}.tmp")
    try:
        beside.touch()
        mode = _mode(beside)    # asking for the umask would change it for the threads beside this one
        write(beside)
        if waits:
            _sync(beside)
        _permit(beside, mode)
        yield beside
    finally:
        beside.unlink(missing_ok=True)
    for folder in (path.parent, path.parent.parent) if waits else ():  # which may be new, too
        with suppress(OSError):  # Windows opens no folders, and some network drives do not sync them
            _sync(folder)


def _mode(path: Path) -> int | None:
    """Who may do what with a file; None where there is none."""
    try:
        found = os.stat(path).st_mode
    except OSError:
        return None
    return stat.S_IMODE(found) if stat.S_ISREG(found) else None


def _permit(path: Path, mode: int | None) -> None:
    """Windows gives a new file what its folder says, and knows no other mode than read-only."""
    if mode is not None and os.name != "nt":
        with suppress(OSError):     # a volume without modes
            os.chmod(path, mode)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _takes(beside: Path, path: Path) -> bool:
    """Gives the file a name that nothing has, in one step; False where something has it."""
    try:
        os.link(beside, path)
        return True
    except FileExistsError:
        return False
    except (OSError, AttributeError):  # exFAT and some network drives have no links
        return _takes_without_links(beside, path)


def _takes_without_links(beside: Path, path: Path) -> bool:
    try:
        if os.name == "nt":
            os.rename(beside, path)  # which never replaces a file there
            return True
        with _locked(path.parent):
            if os.path.lexists(path):
                return False
            os.replace(beside, path)
            return True
    except FileExistsError:
        return False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other processes of this pack from taking a name in the folder; a kill gives the lock back."""
    import fcntl
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # where there are no locks, two runs of one name at one moment remain
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _abandoned(entry: os.DirEntry) -> bool:
    found = LEFTOVER.fullmatch(entry.name)
    if not found or not entry.is_file(follow_symlinks=False):
        return False
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD and not _lives(found["process"])


def _lives(process: str) -> bool:
    """Whether another process of that number runs; on Windows an open file cannot be removed anyway, so it is not
    asked. A container gives the host one number at every start: what bears that of this process is of a run before."""
    if os.name == "nt" or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _removed(path: str) -> bool:
    with suppress(OSError):
        os.unlink(path)
        return True
    return False
