"""Which blocks of a model, and which part of them, a name in a text of block weights means."""
import re
from collections.abc import Iterable
from functools import cache

from ...shared.text_syntax import fits, shorten
from ..model import parts
from ..model.blocks import Place, runs
from .look_alikes import hint


def means_encoders(selector: str) -> bool:
    """Whether a selector is for text encoders whatever they are: `TE`, `TE*`, `TE.clip_l`."""
    return re.match(r"te(?![^.*])", selector, re.IGNORECASE) is not None


class BlockIndex:
    """The blocks of a model by every name they answer to."""

    def __init__(self, places: Iterable[Place], clip: bool):
        self.clip = clip
        self.blocks: dict[str, list[str]] = {}  # alias -> the paths inside the block, in the model's order
        self.paths: dict[str, str] = {}  # alias -> module path
        for place in places:
            self.blocks.setdefault(place.alias, []).append(place.rest)
            self.paths[place.alias] = place.path
        self.names = {_plain(path): alias for alias, path in reversed(self.paths.items())}
        self.names |= {_plain(alias): alias for alias in self.paths}
        self.plain = [(alias, _plain(alias), _plain(path)) for alias, path in self.paths.items()]
        self.depth = max((name.count(".") for name in self.names), default=0)
        self.select = cache(self._select)

    def knows(self, name: str) -> bool:
        return not name.startswith("TE") or bool(self._group(name))

    def _select(self, selector: str) -> list[tuple[list[str], str]]:
        """The aliases that a selector names, each time with the part of them it means ("" for all).

        No block, and no two that a range joins, has more dots than `depth` allows: longer beginnings are not tried."""
        if found := self._part_of_every_block(selector):
            return found
        words = selector.split(".")
        for end in range(min(len(words), 2 * self.depth + 1), 0, -1):
            name, part = ".".join(words[:end]), ".".join(words[end:])
            if aliases := self._named(name) or self._range(name):
                self._check_part(selector, aliases, part)
                return [(aliases, part)]
            aliases = self._group(name)
            if aliases and self._has_part(aliases, part):
                return [(aliases, part)]
        if not self.clip and means_encoders(selector):
            return []
        raise ValueError(f'blocks: "{shorten(selector)}" names no block of this model, which has {self._summary()}'
                         + hint(selector))

    def _part_of_every_block(self, selector: str) -> list[tuple[list[str], str]]:
        """What * or a family before a dotted part means: the part of every block, and after * also what is named so
        outside the blocks, as `*.img*` does BASE.img_in."""
        name, _, part = selector.partition(".")
        aliases = list(self.paths) if name == "*" else self._family(name)
        found = [(aliases, part)] if aliases and part and self._has_part(aliases, part) else []
        outside = self._fitting(selector) if found and name == "*" else []
        return found + ([(outside, "")] if outside else [])

    def _named(self, name: str) -> list[str]:
        """Tries alias, module path, a family (`S*`), a pattern of aliases and a pattern of paths, in this order."""
        if alias := self.names.get(_plain(name)):
            return [alias]
        return self._family(name) or self._fitting(name)

    def _family(self, name: str) -> list[str]:
        family = name[:-1].lower() if re.fullmatch(r"[A-Za-z]+\*", name) else None
        return [alias for alias in self.paths if family == alias.lower().rstrip("0123456789")]

    def _fitting(self, name: str) -> list[str]:
        """The blocks whose alias, or else whose path, a pattern fits. Letters before its first * are a family's: B* is
        not BASE, and T* not the paths that begin with a t."""
        pattern, letters = name.lower(), _letters(name)
        other = lambda alias: "." in alias and letters and name[len(letters)] == "*" and _letters(alias) != letters
        found = [alias for alias in self.paths if fits(pattern, alias.lower()) and not other(alias)]
        if found or re.fullmatch(r"[A-Z]+\*", name):
            return found
        return [alias for alias, path in self.paths.items() if fits(pattern, path.lower())]

    def _group(self, name: str) -> list[str]:
        """Every block whose alias or path starts with a dotted name: `TE`, `TE.clip_l`, `BASE`, `double_blocks`."""
        start = _plain(name) + "."
        return ([alias for alias, plain, _ in self.plain if plain.startswith(start)]
                or [alias for alias, _, plain in self.plain if plain.startswith(start)])

    def _range(self, name: str) -> list[str]:
        first, dash, last = name.partition("-")
        ends = self._named(first.strip()), self._named(last.strip())
        if not dash or not all(len(end) == 1 for end in ends):
            return []
        order = list(self.blocks)
        start, stop = (order.index(end[0]) for end in ends)
        if start > stop:
            raise ValueError(f'blocks: the range "{shorten(name)}" runs backwards; write {ends[1][0]}-{ends[0][0]}')
        return order[start:stop + 1]

    def _has_part(self, aliases: list[str], part: str) -> bool:
        names = parts.names_in(part)
        return not part or any(parts.matches(part, rest) or parts.fused_parts(rest).issuperset(names)
                               for alias in aliases for rest in self.blocks[alias])

    def _check_part(self, selector: str, aliases: list[str], part: str) -> None:
        if not self._has_part(aliases, part):
            inside = sorted({rest.partition(".")[0] for alias in aliases for rest in self.blocks[alias]})
            raise ValueError(f'blocks: "{shorten(selector)}" matches no weight; parts are {", ".join(parts.PARTS)} '
                             f'and the modules {shorten(", ".join(inside))}')

    def _summary(self) -> str:
        return shorten(", ".join(name for name, _ in runs(dict.fromkeys(self.blocks, ""))), 400)


def _letters(name: str) -> str:
    return re.match("[a-z]*", name.lower())[0]


def _plain(name: str) -> str:
    """Lower case and without leading zeros, so that D7 and d07 are one name."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.lower())
