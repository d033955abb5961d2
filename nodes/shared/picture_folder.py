"""The pictures of a folder and of the folders below it: one way to list them for training, critique and ranking.

Links to folders are followed once and never in a circle; hidden names are passed over; whatever else is left out has
its reason. No message holds an absolute path of the server.
"""
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image, features

from .text_syntax import printable, shorten

ESCAPED = re.compile(r"\\u(d[89a-f][0-9a-f]{2})")     # as `printable` writes what is no text
BETWEEN_CHECKS = 200   # entries of a folder that are read between two looks at Cancel
HIDDEN_ON_WINDOWS = 0x2
SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", "$recycle.bin", "system volume information",
          "__macosx", "@eadir", "lost+found"}
# Opened by Pillow in name only: heads without pixels, or by a program that it would start.
NO_PIXELS = {"BUFR", "GRIB", "HDF5", "MPEG", "EPS", "WMF", "IPTC"}
OPTIONAL = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000"}
OTHER_PICTURES = {".avif", ".avifs", ".webp", ".jp2", ".j2k", ".jpx", ".heic", ".heif", ".hif", ".jxl", ".svg", ".eps",
                  ".ps", ".wmf", ".emf", ".pdf", ".exr", ".hdr", ".xcf", ".kra", ".ai", ".raw", ".dng", ".cr2", ".cr3",
                  ".nef", ".arw", ".orf", ".rw2", ".raf"}
CAPTIONS = (".txt", ".caption")
UNREAD = "the folders cannot be read"     # begins a reason; what lies in these is not known
NO_PICTURE = "they are no pictures by their endings"
VIDEOS = {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"}


class Listing(NamedTuple):
    """What lies in a folder. pictures and others (captions among them): files in the order of their paths; hidden and
    left_out: names, and names with reasons. All lie in or below root."""
    root: Path
    pictures: list[Path]
    others: list[Path]
    hidden: list[str]
    left_out: list[tuple[str, str]]

    def name(self, path: Path) -> str:
        """The path of a file below the folder, as it can be shown."""
        return name_below(self.root, path)


def locate(folder: str) -> Path:
    """The folder that was typed: below ComfyUI's input folder, or anywhere by an absolute path.

    Raises ValueError with one sentence where there is no such folder, or `..` leads out of the input folder."""
    import folder_paths  # here, so that a process without the host can list folders
    place, elsewhere, there = "a folder below ComfyUI's input directory", "", ""
    try:
        typed = Path(folder.strip()).expanduser()
        place = "an absolute path" if typed.is_absolute() else place
        if ".." in Path(os.path.normpath(typed)).parts:
            raise ValueError(f"folder: expected {place} or an absolute path, got {quoted(folder)}")
        path = typed if typed.is_absolute() else Path(folder_paths.get_input_directory()) / typed
        if _is_folder(path):
            return path
        if not typed.is_absolute():
            elsewhere = " or the whole path of a folder elsewhere"
            there = _there(Path(folder_paths.get_input_directory()))
    except (RuntimeError, ValueError) as error:    # the home of nobody, or a name that no file system takes
        if str(error).startswith("folder: "):
            raise
    raise ValueError(f"folder: expected {place} that exists{elsewhere}, got {quoted(folder)}{there}")


def _there(root: Path) -> str:
    """The folders that are there, for the end of a message: the page may cut what comes last."""
    try:
        names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        names = []
    return f"; there are {shown([quoted(name) for name in names])}" if names else ""


def _is_folder(path: Path) -> bool:
    """False too for names that no file system takes: too long, or with a zero byte."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def quoted(text: str) -> str:
    """What a person typed, for a message: on one line, and cut where it is long."""
    return shorten(" ".join(text.split()))


@lru_cache(maxsize=1)
def picture_endings() -> frozenset[str]:
    """The endings, in small letters, of every kind of picture that the installed Pillow opens by itself."""
    Image.init()
    return frozenset(ending for ending, kind in Image.registered_extensions().items()
                     if kind in Image.OPEN and kind not in NO_PIXELS
                     and (kind not in OPTIONAL or features.check(OPTIONAL[kind])))


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in picture_endings()


def list_folder(root: Path, halt: Callable[[], object] | None = None) -> Listing:
    """Everything in a folder and below. halt: called every few files, may raise; Cancel is looked at where it is None.

    A folder that two links lead to is read once, under the name that comes first; real folders before linked ones."""
    listing = Listing(root, [], [], [], [])
    for path in _files(listing, halt or _raise_if_cancelled()):
        (listing.pictures if is_picture(path) else listing.others).append(path)
    for found in (listing.pictures, listing.others, listing.hidden, listing.left_out):
        found.sort()
    return listing


def require_pictures(listing: Listing) -> None:
    """Raises ValueError with one sentence, and the reasons for what is there, when a folder has no picture."""
    if not listing.pictures:
        reasons = why_left_out(listing, listing.others)
        raise ValueError(f"folder: expected at least one picture, got none in {quoted(listing.root.name)}."
                         + "".join(f" {sentence}" for sentence in reasons))


def why_left_out(listing: Listing, others: Sequence[Path]) -> list[str]:
    """Sentences that name what is left out and say why; others: the files that the caller has no use for."""
    pairs = [*listing.left_out, *((listing.name(path), reason_of(path)) for path in others)]
    reasons = dict.fromkeys(reason for _, reason in pairs)
    sentences = [f"Left out, because {reason}: {shown([name for name, why in pairs if why == reason])}."
                 for reason in reasons]
    return sentences + ([f"Hidden, and passed over: {shown(listing.hidden)}."] if listing.hidden else [])


def fingerprint(root: Path) -> str:
    """Changes when a file in the folder or below is added, removed or written anew; empty where Cancel ended it.

    The host asks for it outside of what catches a cancelled run, so it must not raise."""
    listing, lines = Listing(root, [], [], [], []), []
    try:
        for path in _files(listing, end_if_cancelled):
            lines.append(f"{name_below(root, path)} {_version(path)}")
    except Cancelled:
        return ""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def shown(names: Sequence[str], most: int = 5) -> str:
    """The first few of many names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def name_below(root: Path, path: Path) -> str:
    return printable(path.relative_to(root).as_posix())


def named(root: str, name: str) -> str:
    """The path of what `name_below` named: bytes that stand as escapes are bytes again, where there is no file that is
    called so."""
    path = os.path.join(root, name)
    return path if os.path.lexists(path) else os.path.join(root, ESCAPED.sub(lambda it: chr(int(it[1], 16)), name))


def same_name(stem: str) -> str:
    """A name as it is compared with others: accents are one character, as not every system writes them."""
    return unicodedata.normalize("NFC", stem)


def _files(listing: Listing, halt) -> Iterator[Path]:
    """Every file of the folder; what is hidden or cannot be read goes to the listing's lists."""
    real = listing.root.resolve()
    known = {_identity(path) for path in (real, *real.parents)}   # a link upwards would lead back here
    folders, links = [listing.root], []
    while folders or links:
        linked = not folders
        folder = links.pop(0) if linked else folders.pop()
        if folder != listing.root:
            identity = _identity(folder)
            if identity in known:
                listing.left_out.append((listing.name(folder), "they lead to a folder that is read already"))
                continue
            known.add(identity)
        for number, entry in enumerate(_entries(listing, folder, halt)):
            if number % BETWEEN_CHECKS == 0:
                halt()                  # whoever takes the files does something with each
            path = Path(entry.path)
            is_folder, is_file = _kind(entry)
            if is_folder:
                (links if entry.is_symlink() else folders).append(path)
            elif is_file:
                yield path
            else:
                why = "the links lead nowhere" if entry.is_symlink() else "they are no ordinary files"
                listing.left_out.append((listing.name(path), why))


def _kind(entry: os.DirEntry) -> tuple[bool, bool]:
    """Whether it is a folder, and whether a file; neither for what cannot be told, such as a link to itself."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:
        return False, False


def _entries(listing: Listing, folder: Path, halt) -> list[os.DirEntry]:
    """What a folder holds, by name, without what is hidden."""
    found = []
    halt()
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number % BETWEEN_CHECKS == 0:
                    halt()
                if _is_hidden(entry):
                    if entry.name.lower() not in SYSTEM:
                        listing.hidden.append(listing.name(Path(entry.path)))
                else:
                    found.append(entry)
    except OSError as error:
        listing.left_out.append((listing.name(folder), f"{UNREAD} ({error.strerror})"))
    return sorted(found, key=lambda entry: entry.name)


def is_hidden_name(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def _is_hidden(entry: os.DirEntry) -> bool:
    if is_hidden_name(entry.name):
        return True
    return os.name == "nt" and bool(entry.stat(follow_symlinks=False).st_file_attributes & HIDDEN_ON_WINDOWS)


def _identity(path: Path) -> tuple[int, int] | str:
    """The same for a folder by whatever name it is reached; its real path on file systems that number nothing."""
    try:
        status = os.stat(path)
    except OSError:
        return str(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def reason_of(path: Path) -> str:
    """Why a file that is no picture here is none."""
    ending = path.suffix.lower()
    if ending in VIDEOS:
        return "they are videos"
    if ending in OTHER_PICTURES or ending in Image.registered_extensions():
        return f"the installed Pillow opens no {ending} files by itself"
    return NO_PICTURE


def _version(path: Path) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return "unread"
    return f"{status.st_size} {status.st_mtime_ns}"


class Cancelled(Exception):
    pass


def _raise_if_cancelled() -> Callable[[], object]:
    import comfy.model_management
    return comfy.model_management.throw_exception_if_processing_interrupted


def end_if_cancelled() -> None:
    """Raises Cancelled: for what the host asks outside of a run, which has to catch it."""
    import comfy.model_management
    if comfy.model_management.processing_interrupted():   # looked at, not taken back: the host still has to see it
        raise Cancelled
