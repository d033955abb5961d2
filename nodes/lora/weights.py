"""The ratio of every weight: statements of the language, applied to the blocks of one model."""
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from . import parts, vectors
from .blocks import Place, runs
from .language import DEFAULT, Ramp, Statement, Vector, shorten


class Rule(NamedTuple):
    """A ratio for each block it speaks of, for the whole block or, where part is not empty, for one part of it."""
    ratios: dict[str, float]
    part: str


@dataclass(frozen=True)
class BlockWeights:
    """The ratio of every weight of one model. The last rule that speaks of a weight decides."""
    rules: tuple[Rule, ...] = ()
    default: float = 1.0

    def ratio(self, place: Place, offset: parts.Slice | None = None, shape: tuple[int, ...] = ()) -> float:
        """The ratio of a weight, or of the slice of it at offset = (dimension, start, length)."""
        for rule in reversed(self.rules):
            if place.alias in rule.ratios and (not rule.part or parts.matches(rule.part, place.rest, offset, shape)):
                return rule.ratios[place.alias]
        return self.default

    def misses(self, place: Place) -> bool:
        """Whether a rule speaks of a part that this weight holds fused with others, so that no ratio can reach it."""
        fused = parts.fused_parts(place.rest)
        return any(place.alias in rule.ratios and not fused.isdisjoint(rule.part.lower().split("."))
                   for rule in self.rules)


def resolve(spec: Iterable[Statement | Vector], places: Iterable[Place], clip: bool = True) -> BlockWeights:
    """Gives every block its ratio.

    places: where the weights of the model, and of the CLIP where there is one, sit. clip: whether there is one; without
    it names of text encoders are not looked up. Raises ValueError for a name that is not there, a range that runs
    backwards and a vector of a length that the model does not take."""
    book = _Book(places, clip)
    rules, default = [], 1.0
    for item in spec:
        for selectors, value in _statements(item, book):
            if selectors == (DEFAULT,):
                default = value.start
            else:
                rules += _rules(selectors, value, book)
    return BlockWeights(tuple(rules), default)


def _statements(item: Statement | Vector, book: "_Book") -> list[Statement]:
    if isinstance(item, Statement):
        return [item]
    return [Statement(tuple(name for name in words.split(",") if book.knows(name)), Ramp(number, number))
            for words, number in vectors.named(item.numbers, book.blocks)]


def _rules(selectors: tuple[str, ...], value: Ramp, book: "_Book") -> Iterator[Rule]:
    chosen = [book.select(selector) for selector in selectors]
    named = {alias for aliases, _ in chosen for alias in aliases}
    order = [alias for alias in book.blocks if alias in named]
    ratios = dict(zip(order, value.over(len(order)), strict=True))
    for aliases, part in chosen:
        yield Rule({alias: ratios[alias] for alias in aliases}, part)


class _Book:
    """The blocks of a model by every name they answer to."""

    def __init__(self, places: Iterable[Place], clip: bool):
        self.clip = clip
        self.blocks: dict[str, list[str]] = {}  # alias -> the paths inside the block, in the model's order
        self.paths: dict[str, str] = {}  # alias -> module path
        for place in places:
            self.blocks.setdefault(place.alias, []).append(place.rest)
            self.paths[place.alias] = place.path

    def knows(self, name: str) -> bool:
        return not name.startswith("TE") or bool(self._group(name))

    def select(self, selector: str) -> tuple[list[str], str]:
        """The aliases that a selector names, and the part of them it means ("" for all)."""
        words = selector.split(".")
        for end in range(len(words), 0, -1):
            name, part = ".".join(words[:end]), ".".join(words[end:])
            if aliases := self._named(name) or self._range(name):
                self._check_part(selector, aliases, part)
                return aliases, part
            aliases = self._group(name)
            if aliases and self._has_part(aliases, part):
                return aliases, part
        if not self.clip and words[0].upper() == "TE":
            return [], ""
        raise ValueError(f'blocks: "{selector}" names no block of this model, which has {self._summary()}')

    def _named(self, name: str) -> list[str]:
        """Tries alias, module path, a family (`S*`), a pattern of aliases and a pattern of paths, in this order."""
        key = _plain(name)
        pattern = re.compile(re.escape(name.lower()).replace(r"\*", ".*"))
        family = name[:-1].lower() if re.fullmatch(r"[A-Za-z]+\*", name) else None
        tests = [
            lambda alias, path: key == _plain(alias),
            lambda alias, path: key == _plain(path),
            lambda alias, path: family == alias.lower().rstrip("0123456789"),
            lambda alias, path: pattern.fullmatch(alias.lower()),
            lambda alias, path: pattern.fullmatch(path.lower()),
        ]
        for test in tests:
            if found := [alias for alias, path in self.paths.items() if test(alias, path)]:
                return found
        return []

    def _group(self, name: str) -> list[str]:
        """Every block whose alias or path starts with a dotted name: `TE`, `TE.clip_l`, `BASE`, `double_blocks`."""
        start = _plain(name) + "."
        return ([alias for alias in self.paths if _plain(alias).startswith(start)]
                or [alias for alias, path in self.paths.items() if _plain(path).startswith(start)])

    def _range(self, name: str) -> list[str]:
        first, dash, last = name.partition("-")
        ends = self._named(first.strip()), self._named(last.strip())
        if not dash or not all(len(end) == 1 for end in ends):
            return []
        order = list(self.blocks)
        start, stop = (order.index(end[0]) for end in ends)
        if start > stop:
            raise ValueError(f'blocks: the range "{name}" runs backwards; write {ends[1][0]}-{ends[0][0]}')
        return order[start:stop + 1]

    def _has_part(self, aliases: list[str], part: str) -> bool:
        names = part.lower().split(".")
        return not part or any(parts.matches(part, rest) or parts.fused_parts(rest).issuperset(names)
                               for alias in aliases for rest in self.blocks[alias])

    def _check_part(self, selector: str, aliases: list[str], part: str) -> None:
        if not self._has_part(aliases, part):
            inside = sorted({rest.partition(".")[0] for alias in aliases for rest in self.blocks[alias]})
            raise ValueError(f'blocks: "{selector}" matches no weight; parts are {", ".join(parts.PARTS)} '
                             f'and the modules {shorten(", ".join(inside))}')

    def _summary(self) -> str:
        return shorten(", ".join(name for name, _ in runs(dict.fromkeys(self.blocks, ""))), 400)


def _plain(name: str) -> str:
    """Lower case and without leading zeros, so that D7 and d07 are one name."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name.lower())
