"""Files of a training folder that belong together by name: a picture, its caption, mask, reference, first half."""
from collections.abc import Iterable
from pathlib import Path

from .picture_folder import CAPTIONS, same_name

MASKS, REFERENCE, BEFORE = ("_mask", "-masklabel"), "_reference", "_before"


def role(path: Path) -> str | None:
    """The ending of a name that makes a picture a mask, a reference or a first half; None for one that is learnt."""
    stem = path.stem.lower()
    return next((ending for ending in (*MASKS, REFERENCE, BEFORE) if stem.endswith(ending)), None)


def key(path: Path, cut: int = 0) -> tuple[Path, str]:
    """Folder and name; without the last `cut` characters of the name."""
    return path.parent, same_name(path.stem[:len(path.stem) - cut])


def captions_of(files: Iterable[Path]) -> dict[tuple[Path, str], Path]:
    """The caption files among these by their picture; of two of one picture the first in the order of CAPTIONS."""
    files, found = list(files), {}
    for ending in CAPTIONS:
        for path in files:
            if path.suffix.lower() == ending:
                found.setdefault(key(path), path)
    return found
