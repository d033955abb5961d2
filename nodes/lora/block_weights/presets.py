"""Presets: texts of block weights by name, those of the pack and the user's own.

The pack's stand in presets.txt beside this file, the user's in bottega/block_presets.txt of the host's user folder,
which outlives the pack. One a line, `NAME: weights`, below the `[family]` of models it is for; # begins a note.
A name of the user's wins over the same one of the pack's. Capitals do not matter.
"""
import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import folder_paths

from ...shared.text_syntax import check_length, shorten
from .block_language import Preset, parse
from .vectors import FAMILIES

ANY = "any model"
NAMES_OF_OTHERS = {"all0.5": "HALF"}  # beside those that only lack SD-
LARGEST = 1_000_000  # bytes of a file, which is read while a prompt is checked


class Entry(NamedTuple):
    """One line of a file. own: whether it is the user's."""
    name: str
    blocks: str
    family: str
    own: bool


def user_file() -> Path:
    """Where the user's presets are looked for. Nothing writes it but its owner."""
    return Path(folder_paths.get_user_directory()) / "bottega" / "block_presets.txt"


def by_family() -> list[dict]:
    """Every preset as plain data: [{"family": "SDXL", "blocks": {"IN": 9, "OUT": 9}, "presets": [{"name": "SDXL-INS",
    "blocks": "IN*=1; default=0", "own": False}]}]. A family is for the models that have so many blocks of each letter.

    Raises ValueError for a line that is no preset."""
    entries = _entries().values()
    families = [ANY, *FAMILIES, *dict.fromkeys(entry.family for entry in entries)]
    listed = {family: [entry for entry in entries if entry.family == family] for family in families}
    return [{"family": family, "blocks": FAMILIES.get(family, {}), "presets": [
        {"name": entry.name, "blocks": entry.blocks, "own": entry.own} for entry in found]}
        for family, found in listed.items() if found]


def lookup(name: str, entries: dict[str, Entry] | None = None) -> str:
    """The text of a preset. Raises ValueError, which lists what there is, when there is none of this name."""
    entries = _entries() if entries is None else entries
    if entry := entries.get(name.lower()):
        return entry.blocks
    close = difflib.get_close_matches(name.lower(), entries, n=5, cutoff=0.5)
    names = [entries[key].name for key in dict.fromkeys([*close, *entries])]
    raise ValueError(f'blocks: "{shorten(name)}" is no preset and has no value; write NAME=NUMBER, such as IN04=0.5, '
                     f"or one of the presets {shorten(', '.join(names), 900)}")


def own_name(name: str) -> str:
    """The preset that a name of sd-webui-lora-block-weight, such as INS or ALL0.5, means; other names themselves."""
    entries = _entries()
    own = NAMES_OF_OTHERS.get(name.lower(), f"SD-{name}")
    return own if name.lower() not in entries and own.lower() in entries else name


def expand(spec) -> tuple:
    """The spec with the items of each preset in its place. Raises ValueError as lookup and parse do, and for presets
    that are longer together than a text may be."""
    named = [item.name for item in spec if isinstance(item, Preset)]
    texts = _texts(named) if named else {}
    check_length("".join(texts[name] for name in named), "blocks: with its presets written out")
    inside = {name: _inside(name, text) for name, text in texts.items()}
    return tuple(part for item in spec for part in (inside[item.name] if isinstance(item, Preset) else (item,)))


def _texts(names: list[str]) -> dict[str, str]:
    entries = _entries()
    return {name: lookup(name, entries) for name in dict.fromkeys(names)}


def _inside(name: str, text: str) -> tuple:
    items = parse(text)
    for item in items:
        if isinstance(item, Preset):
            raise ValueError(f'blocks: the preset "{name}" names "{shorten(item.name)}", but must consist of weights')
    return items


def version() -> tuple[int, int]:
    """Changes whenever the user's file is written anew: modification time in ns and size, zeros without a file."""
    try:
        stat = user_file().stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def _entries() -> dict[str, Entry]:
    found = {entry.name.lower(): entry for entry in _read(Path(__file__).with_name("presets.txt"), False)}
    own = user_file()
    return found | {entry.name.lower(): entry for entry in (_read(own, True) if own.is_file() else ())}


def _read(path: Path, own: bool) -> Iterator[Entry]:
    family = ANY
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"block presets: expected at most {LARGEST} bytes in {_shown(path, own)}, got "
                             f"{path.stat().st_size}")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise ValueError(f"block presets: {_shown(path, own)} cannot be read ({error.strerror}).") from None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        name, colon, blocks = (part.strip() for part in line.partition(":"))
        if line.startswith("[") and line.endswith("]"):
            family = line[1:-1].strip() or ANY
        elif name and colon and blocks:
            yield Entry(name, blocks, family, own)
        elif line:
            raise ValueError(f'block presets: "{shorten(line)}", line {number} of {_shown(path, own)}, is not '
                             "of the form NAME: weights")


def _shown(path: Path, own: bool) -> str:
    """The name of a file of presets, without the folders of the machine."""
    return f"bottega/{path.name} in ComfyUI's user folder" if own else path.name
