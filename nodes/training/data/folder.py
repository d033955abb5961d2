"""A folder of pictures as trainers lay it out: captions and masks beside them, repeats in the names of subfolders.

`05.png` has its caption in `05.txt` (or `05.caption`), its mask in `05_mask.png` or `05-masklabel.png`, and for editing
models the picture it starts from in `05_reference.png`. Where only a change is to be learnt, `05_before.png` is the
picture without it. A subfolder `10_lantern` shows its pictures ten times an epoch.
"""
import os
import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

import folder_paths

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
CAPTIONS = (".txt", ".caption")
MASKS, REFERENCE, BEFORE = ("_mask", "-masklabel"), "_reference", "_before"
REPEATS = re.compile(r"(\d+)_\S")
MOST_REPEATS = 10_000


class Found(NamedTuple):
    """One picture of a folder. name: its path below the folder; caption and what lies beside it: None where none is."""
    path: Path
    name: str
    caption: str | None
    mask: Path | None
    reference: Path | None
    repeats: int
    before: Path | None = None


def locate(folder: str) -> Path:
    """The folder that was typed: an absolute path, or one below ComfyUI's input folder.

    Raises ValueError when it is neither."""
    typed = Path(os.path.expanduser(folder.strip()))
    path = typed if typed.is_absolute() else Path(folder_paths.get_input_directory()) / typed
    if not path.is_dir():
        raise ValueError(f"folder: expected a folder of pictures, an absolute path or one below {_input()}; "
                         f"{path} is none.")
    return path


def scan(folder: Path) -> list[Found]:
    """Every picture in a folder and its subfolders, by name. Raises ValueError when there is none, or half a pair."""
    files = sorted(_files(folder, PICTURES))
    pictures = [path for path in files if not path.stem.endswith((*MASKS, REFERENCE, BEFORE))]
    if not pictures:
        raise ValueError(f"folder: expected at least one picture ({', '.join(sorted(PICTURES))}), {folder} has none.")
    found = [_found(folder, path) for path in pictures]
    _check_pairs(folder, found, [path for path in files if path.stem.endswith(BEFORE)])
    return found


def _check_pairs(folder: Path, found: list[Found], before: list[Path]) -> None:
    partners = {picture.before for picture in found}
    for path in before:
        if path not in partners:
            name = path.relative_to(folder).as_posix()
            raise ValueError(f"folder: {name} has no partner; expected {path.stem.removesuffix(BEFORE)}{path.suffix} "
                             "beside it, the picture it becomes.")
    alone = [picture.name for picture in found if picture.before is None]
    if before and alone:
        raise ValueError(f"folder: expected a picture named {Path(alone[0]).stem}{BEFORE}.png beside {alone[0]}, as "
                         f"other pictures have one; {len(alone)} of {len(found)} have none ({shown(alone)}).")


def unused(folder: Path, found: list[Found], masks: bool) -> list[str]:
    """What lies in a folder and has no part in the training, a sentence each; masks: whether masks are used."""
    used = {path for picture in found for path in (picture.path, picture.mask, picture.reference, picture.before)}
    stems = {picture.path.with_suffix("") for picture in found}
    strays = sorted([*(path for path in _files(folder, PICTURES) if path not in used),
                     *(path for path in _files(folder, CAPTIONS) if path.with_suffix("") not in stems)])
    hidden = [picture.name for picture in found if picture.mask] if not masks else []
    names = [path.relative_to(folder).as_posix() for path in strays]
    return [sentence for sentence in (
        f"Left alone, because no picture has that name: {shown(names)}." if names else "",
        f"Masks lie beside {shown(hidden)} and are not used: masks is not set to files." if hidden else "")
        if sentence]


def fingerprint(folder: Path) -> tuple:
    """Changes whenever a file of the folder is added, removed or written anew."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path in files for stat in [path.stat()])


def _files(folder: Path, endings: Container[str]) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in endings and path.is_file() and not hidden:
            yield path


def _found(folder: Path, path: Path) -> Found:
    mask = next((m for ending in MASKS if (m := _beside(path, ending))), None)
    return Found(path, path.relative_to(folder).as_posix(), _caption(path), mask, _beside(path, REFERENCE),
                 _repeats(folder, path), _beside(path, BEFORE))


def _beside(path: Path, ending: str) -> Path | None:
    candidates = (path.with_name(path.stem + ending + suffix) for suffix in sorted(PICTURES))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _caption(path: Path) -> str | None:
    for ending in CAPTIONS:
        file = path.with_suffix(ending)
        if file.is_file():
            try:
                return " ".join(file.read_text(encoding="utf-8-sig").split())
            except UnicodeDecodeError:
                raise ValueError(f"captions: expected UTF-8 text, {file.name} is something else.") from None
    return None


def _repeats(folder: Path, path: Path) -> int:
    match = REPEATS.match(path.parent.name) if path.parent != folder else None
    return min(MOST_REPEATS, max(1, int(match[1]))) if match else 1


def shown(names: list[str], most: int = 5) -> str:
    """The first few of many names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _input() -> str:
    return folder_paths.get_input_directory()
