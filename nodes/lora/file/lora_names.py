"""LoRA files by the names that people write into a prompt: without ending, without folder, whatever the capitals."""
from collections.abc import Iterable, Iterator
from posixpath import splitext

from ...shared.text_syntax import shorten

SIGNS = (":", "<", ">")     # of a tag, which a name may hold too


class LoraNames:
    """listed: names as the host lists them, such as `style/Ink.safetensors`."""

    def __init__(self, listed: Iterable[str]):
        self.tiers: tuple[dict[str, list[str]], ...] = ({}, {}, {})
        for name in dict.fromkeys(listed):
            for tier, keys in zip(self.tiers, _keys(name), strict=True):
                for key in dict.fromkeys(keys):
                    tier.setdefault(key, []).append(name)

    def find(self, written: str) -> str:
        """The listed name that is meant: its whole path if there is such a file, or else that of any folder.

        Raises ValueError, a sentence, where there is none or where several files have the name."""
        exact = written.replace("\\", "/").strip("/")
        for tier, key in zip(self.tiers, (exact, exact.lower(), exact.lower()), strict=True):
            if names := tier.get(key):
                return _only(names, written)
        raise ValueError(f'there is no "{shorten(written)}" in the loras folders{self._longer(exact.lower())}')

    def _longer(self, start: str) -> str:
        """What helps where only the start of a name was read, since a sign of the tag's own follows in it."""
        found = next((names[0] for key, names in self.tiers[2].items() if key.startswith(start)
                      and key[len(start):len(start) + 1] in SIGNS), "")
        return f'; a name that holds :, < or > stands in quotes, as "{shorten(found)}"' if found else ""


def _only(names: list[str], written: str) -> str:
    if len(names) == 1:
        return names[0]
    raise ValueError(f'"{shorten(written)}" is the name of {len(names)} files ({shorten(", ".join(names), 300)}); '
                     "write the folder and the ending as well")


def _keys(name: str) -> Iterator[list[str]]:
    """What a file is found by: its path as written; the same in small letters; the ends of that path."""
    path = name.replace("\\", "/")
    both = [path, splitext(path)[0]]
    small = [each.lower() for each in both]
    yield both
    yield small
    yield ["/".join(parts[at:]) for parts in (each.split("/") for each in small) for at in range(len(parts))]
