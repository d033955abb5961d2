"""Letters: Pillow's own face, and for what it lacks a face that the system has; nothing is shipped or fetched.

Where no face has a letter, it is written as its code, so that two names never look the same.
"""
import os
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont, features

NO_LETTER = "\uffff"
PLAIN = {"–": "-", "—": "-", "−": "-", "×": "x", "ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe",
         "ł": "l", "Ł": "L", "→": "->", "≤": "<=", "≥": ">="}
PREFERRED = ("notosanscjk", "notosans", "sourcehansans", "wqy", "droidsansfallback", "dejavusans", "pingfang",
             "hiragino", "applesdgothic", "arialunicode", "msyh", "meiryo", "yugoth", "malgun", "simsun", "arial",
             "segoeui", "tahoma", "freesans", "liberationsans", "nanumgothic", "takao", "ipagp", "unifont")
STYLED = ("bold", "italic", "oblique", "light", "thin", "black", "condensed", "mono", "serif", "narrow")
ENDINGS = {".ttf", ".otf", ".ttc"}
MOST_FILES = 4000  # of a system's faces that are looked at
RIGHT_TO_LEFT = ("R", "AL")


class Run(NamedTuple):
    """Letters that one face draws, left to right as they stand on the paper."""
    letters: str
    face: ImageFont.FreeTypeFont


def runs(content: str, size: float) -> list[Run]:
    """A line as the faces that draw it; where it is read from right to left, its runs stand in that order."""
    if content.isascii():
        return [Run(content, own_face(size))]
    content = "".join(map(_drawable, content))
    parts = ["".join(letters) for _, letters in groupby(content, _file_of)]
    found = [Run(_shaped(part), _face(_file_of(part[0]), size)) for part in parts]
    return found[::-1] if _from_right(content) else found


def undrawn(content: str) -> str:
    """The letters of a text that no face at hand has, and that are written as codes."""
    return "" if content.isascii() else "".join(dict.fromkeys(c for c in content if _drawable(c).startswith("U+")))


@lru_cache(64)
def own_face(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's own scalable face."""
    return ImageFont.load_default(size)


@lru_cache(4096)
def _drawable(letter: str) -> str:
    """The letter where a face has it, else as it is written plainly, else its code."""
    if _file_of(letter) is not None or _has(own_face(20), letter):
        return letter
    plain = PLAIN.get(letter) or "".join(c for c in unicodedata.normalize("NFKD", letter) if c.isascii())
    return plain or ("" if unicodedata.combining(letter) else f"U+{ord(letter):04X} ")


@lru_cache(4096)
def _file_of(letter: str) -> str | None:
    """The file of the face that draws a letter; None for Pillow's own, and where none has it."""
    if letter.isascii() or _has(own_face(20), letter) or letter in PLAIN:
        return None
    latin = unicodedata.normalize("NFKD", letter)[:1].isascii()
    return None if latin else next((str(path) for path in _faces() if _has(_face(str(path), 20), letter)), None)


@lru_cache(256)
def _face(file: str | None, size: float) -> ImageFont.FreeTypeFont | None:
    if file is None:
        return own_face(size)
    try:
        return ImageFont.truetype(file, size)
    except OSError:  # a damaged file, or of another kind than its name says
        return None


def _has(face: ImageFont.FreeTypeFont | None, letter: str) -> bool:
    return face is not None and bytes(face.getmask(letter)) != bytes(face.getmask(NO_LETTER))


@lru_cache(1)
def _faces() -> list[Path]:
    """The upright faces of the system, those that hold many letters first."""
    found = []
    for path in _files():
        name = path.stem.lower().replace("-", "").replace("_", "").replace(" ", "")
        rank = next((number for number, start in enumerate(PREFERRED) if name.startswith(start)), None)
        if rank is not None:
            found.append((any(style in name for style in STYLED), rank, len(name), path))
    return [path for *_, path in sorted(found)]


def _files() -> Iterator[Path]:
    """The files of faces where the system keeps them, at most MOST_FILES."""
    left = MOST_FILES
    for folder in _folders():
        for root, _, names in os.walk(folder):
            for name in names:
                if Path(name).suffix.lower() in ENDINGS:
                    yield Path(root, name)
                    left -= 1
                    if not left:
                        return


def _folders() -> list[Path]:
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts"),
                home / "AppData" / "Local" / "Microsoft" / "Windows" / "Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local" / "share" / "fonts",
            home / ".fonts"]


def _from_right(content: str) -> bool:
    return next((unicodedata.bidirectional(c) in RIGHT_TO_LEFT for c in content
                 if unicodedata.bidirectional(c) in (*RIGHT_TO_LEFT, "L")), False)


def _shaped(part: str) -> str:
    """A run as a face without a shaping engine has to be given it: Arabic joined, right to left turned around."""
    if not any(unicodedata.bidirectional(c) in RIGHT_TO_LEFT for c in part) or features.check("raqm"):
        return part
    return _joined(part)[::-1]


def _joined(part: str) -> str:
    """Arabic letters in the forms they take beside their neighbours."""
    forms, made = _arabic_forms(), []
    for at, letter in enumerate(part):
        own = forms.get(letter, {})
        before = at > 0 and "initial" in forms.get(part[at - 1], {}) and "final" in own
        after = at + 1 < len(part) and "final" in forms.get(part[at + 1], {}) and "initial" in own
        form = ("isolated", "initial", "final", "medial")[2 * before + after]
        made.append(own.get(form, letter))
    return "".join(made)


@lru_cache(1)
def _arabic_forms() -> dict[str, dict[str, str]]:
    """Letter -> form -> the letter in that form, from the compatibility forms of Unicode."""
    forms: dict[str, dict[str, str]] = {}
    for code in (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFF00)):
        kind, *letters = unicodedata.decomposition(chr(code)).split()[:3] or [""]
        if len(letters) == 1 and kind[1:-1] in ("initial", "medial", "final", "isolated"):
            forms.setdefault(chr(int(letters[0], 16)), {})[kind[1:-1]] = chr(code)
    return forms
