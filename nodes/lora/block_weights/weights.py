"""The ratio of every weight: statements of the language, applied to the blocks of one model."""
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..model import parts
from ..model.blocks import Place, runs
from . import inspire, presets, vectors
from .language import DEFAULT, Item, Percent, Ramp, Statement, Vector, shorten
from .values import NAMED, Settings


class Rule(NamedTuple):
    """A ratio for each block it speaks of, for the whole block or, where part is not empty, for one part of it."""
    ratios: dict[str, float]
    part: str


class Positions(NamedTuple):
    """A ratio for each target that the file has a patch for, as inspire.positions gives them."""
    ratios: Mapping[inspire.Target, float]
    part: str = ""


@dataclass(frozen=True)
class BlockWeights:
    """The ratio of every weight of one model. The last rule that speaks of a weight decides."""
    rules: tuple[Rule | Positions, ...] = ()
    default: float = 1.0
    notes: tuple[str, ...] = ()
    """How vectors were read, for the report."""

    def ratio(self, place: Place, offset: parts.Slice | None = None, shape: tuple[int, ...] = (),
              target: inspire.Target = None) -> float:
        """The ratio of a weight, or of the slice of it at offset = (dimension, start, length).

        target: the weight, or (weight, offset, ...), as the host's loader names it."""
        for rule in reversed(self.rules):
            if isinstance(rule, Positions):
                if target in rule.ratios:
                    return rule.ratios[target]
            elif place.alias in rule.ratios and (
                    not rule.part or parts.matches(rule.part, place.rest, offset, shape)):
                return rule.ratios[place.alias]
        return self.default

    def whole(self, alias: str) -> float:
        """The ratio that the rules for whole blocks give a block."""
        return next((rule.ratios[alias] for rule in reversed(self.rules) if not rule.part and alias in rule.ratios),
                    self.default)

    def mutes(self, alias: str) -> bool:
        """Whether every weight of a block has the ratio 0, whatever its part."""
        for rule in reversed(self.rules):
            if rule.ratios.get(alias):
                return False
            if not rule.part and alias in rule.ratios:
                return True
        return not self.default

    def misses(self, place: Place) -> bool:
        """Whether a rule speaks of a part that this weight holds fused with others, so that no ratio can reach it."""
        fused = parts.fused_parts(place.rest)
        return any(place.alias in rule.ratios and not fused.isdisjoint(rule.part.lower().split("."))
                   for rule in self.rules)


def resolve(spec: Iterable[Item], places: Iterable[Place], clip: bool = True, settings: Settings = NAMED,
            targets: Iterable[inspire.Target] = ()) -> BlockWeights:
    """Gives every block its ratio.

    places: where the weights of the model, and of the CLIP where there is one, sit. clip: whether there is one; without
    it names of text encoders are not looked up. targets: what the file has patches for, in the order in which the host
    loads them; vector_mode inspire counts them. Raises ValueError for a name that is not there, a range that runs
    backwards, a vector of a length that the model does not take and a preset that does not exist."""
    book = _Book(places, clip)
    rules, default, notes = [], 1.0, []
    for item in presets.expand(spec):
        if isinstance(item, Statement) and item.selectors == (DEFAULT,):
            default, = settings.ratios(item.value, [DEFAULT])
        elif isinstance(item, Statement):
            rules += _rules(item, book, settings)
        elif settings.vector_mode == "inspire":
            rules.append(Positions(inspire.positions(item, targets, settings)))
        else:
            read, note = _vector(item, book, settings)
            rules += read
            notes.append(note)
    return BlockWeights(tuple(rules), default, tuple(notes))


def _vector(item: Vector | Percent, book: "_Book", settings: Settings) -> tuple[list[Rule], str]:
    """The rules that a vector stands for, and a sentence that says so."""
    if isinstance(item, Percent):
        raise ValueError(f'blocks: "%{shorten(item.text)}" counts the blocks of the file, which only vector_mode '
                         "inspire does; write NAME=NUMBER, such as IN04=0.5")
    rules, said = [], {}
    for words, value in vectors.named(item, book.blocks):
        number, = settings.ratios(Ramp(value, value), [words])
        known = tuple(name for name in words.split(",") if book.knows(name))
        rules += _rules(Statement(known, Ramp(number, number)), book, settings)
        said[words] = f"{number:g}"
    meaning = "; ".join(f"{words}={number}" for words, number in runs(said))
    return rules, f"vector of {len(item.items)}, read for {vectors.family(book.blocks)}: {meaning}"


def _rules(statement: Statement, book: "_Book", settings: Settings) -> Iterator[Rule]:
    chosen = [book.select(selector) for selector in statement.selectors]
    order = [alias for alias in book.blocks if any(alias in aliases for aliases, _ in chosen)]
    part = ".".join(sorted({part for _, part in chosen}))
    ratios = dict(zip(order, settings.ratios(statement.value, [f"{alias} {part}" for alias in order]), strict=True))
    for aliases, part in chosen:
        yield Rule({alias: ratios[alias] for alias in aliases}, part)


def means_encoders(selector: str) -> bool:
    """Whether a selector is for text encoders whatever they are: `TE`, `TE*`, `TE.clip_l`."""
    return re.match(r"te(?![^.*])", selector, re.IGNORECASE) is not None


class _Book:
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
        if not self.clip and means_encoders(selector):
            return [], ""
        raise ValueError(f'blocks: "{selector}" names no block of this model, which has {self._summary()}')

    def _named(self, name: str) -> list[str]:
        """Tries alias, module path, a family (`S*`), a pattern of aliases and a pattern of paths, in this order."""
        if alias := self.names.get(_plain(name)):
            return [alias]
        pattern = re.compile(re.escape(name.lower()).replace(r"\*", ".*"))
        family = name[:-1].lower() if re.fullmatch(r"[A-Za-z]+\*", name) else None
        tests = [
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
