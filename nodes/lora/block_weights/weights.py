"""The ratio of every weight: statements of the language, applied to the blocks of one model."""
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ...shared.text_syntax import shorten
from ..model import parts
from ..model.blocks import Place, runs
from . import inspire_vectors, presets, vectors
from .block_language import DEFAULT, NAMED, InspirePercent, Item, Ramp, Settings, Statement, Vector, write
from .selectors import BlockIndex


class Rule(NamedTuple):
    """A ratio for each block it speaks of, for the whole block or, where part is not empty, for one part of it."""
    ratios: dict[str, float]
    part: str
    text: str = ""
    """The statement with this selector alone; "" for what a vector means."""


class TargetRatios(NamedTuple):
    """A ratio for each target that the file has a patch for, as inspire_vectors.inspire_ratios gives them."""
    ratios: Mapping[inspire_vectors.Target, float]
    part: str = ""
    text: str = ""


@dataclass(frozen=True)
class BlockWeights:
    """The ratio of every weight of one model. The last rule that speaks of a weight decides."""
    rules: tuple[Rule | TargetRatios, ...] = ()
    default: float = 1.0
    notes: tuple[str, ...] = ()
    """How vectors were read, for the report."""

    def ratio(self, place: Place, offset: parts.Slice | None = None, shape: tuple[int, ...] = (),
              target: inspire_vectors.Target = None) -> float:
        """The ratio of a weight, or of the slice of it at offset = (dimension, start, length).

        target: the weight, or (weight, offset, ...), as the host's loader names it."""
        for rule in reversed(self.rules):
            if isinstance(rule, TargetRatios):
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
        return bool(fused) and any(place.alias in rule.ratios and not fused.isdisjoint(parts.names_in(rule.part))
                                   for rule in self.rules)


    def unreached(self, changes: Iterable[tuple[Place, parts.Slice | None, tuple[int, ...]]]) -> list[str]:
        """The statements that speak of none of these weights: (place, slice or None, shape) each."""
        by_alias = {}
        for place, offset, shape in changes:
            by_alias.setdefault(place.alias, []).append((place.rest, offset, shape))
        reached = {}
        for rule in filter(lambda rule: rule.text, self.rules):
            reached[rule.text] = reached.get(rule.text, False) or any(
                not rule.part or parts.matches(rule.part, *change)
                for alias in rule.ratios.keys() & by_alias.keys() for change in by_alias[alias])
        return [text for text, found in reached.items() if not found]


def resolve(spec: Iterable[Item], places: Iterable[Place], clip: bool = True, settings: Settings = NAMED,
            targets: Iterable[inspire_vectors.Target] = ()) -> BlockWeights:
    """Gives every block its ratio.

    places: where the weights of the model, and of the CLIP where there is one, sit. clip: whether there is one; without
    it names of text encoders are not looked up. targets: what the file has patches for, in the order in which the host
    loads them; vector_mode inspire counts them. Raises ValueError for a name that is not there, a range that runs
    backwards, a vector of a length that the model does not take and a preset that does not exist."""
    book = BlockIndex(places, clip)
    rules, default, notes = [], 1.0, []
    for item in presets.expand(spec):
        if isinstance(item, Statement) and item.selectors == (DEFAULT,):
            default, = settings.ratios(item.value, [DEFAULT])
        elif isinstance(item, Statement):
            rules += _rules(item, book, settings)
        elif settings.vector_mode == "inspire":
            rules.append(TargetRatios(inspire_vectors.inspire_ratios(item, targets, settings)))
        else:
            read, note = _vector(item, book, settings)
            rules += read
            notes.append(note)
    return BlockWeights(tuple(rules), default, tuple(notes))


def _vector(item: Vector | InspirePercent, book: BlockIndex, settings: Settings) -> tuple[list[Rule], str]:
    """The rules that a vector stands for, and a sentence that says so."""
    if isinstance(item, InspirePercent):
        raise ValueError(f'blocks: "%{shorten(item.text)}" counts the blocks of the file, which only vector_mode '
                         "inspire does; write NAME=NUMBER, such as IN04=0.5")
    rules, said = [], {}
    for words, value in vectors.named(item, book.blocks):
        number, = settings.ratios(Ramp(value, value), [words])
        known = tuple(name for name in words.split(",") if book.knows(name))
        rules += _rules(Statement(known, Ramp(number, number)), book, settings, said=False)
        said[words] = f"{number:g}"
    meaning = "; ".join(f"{words}={number}" for words, number in runs(said))
    return rules, f"vector of {len(item.items)}, read for {vectors.family(book.blocks)}: {meaning}"


def _rules(statement: Statement, book: BlockIndex, settings: Settings, said: bool = True) -> Iterator[Rule]:
    """said: whether a person wrote the statement, so that it is named where it reaches nothing."""
    chosen = [(selector, book.select(selector)) for selector in statement.selectors]
    found = [pair for _, pairs in chosen for pair in pairs]
    named = {alias for aliases, _ in found for alias in aliases}
    order = [alias for alias in book.blocks if alias in named]
    part = ".".join(sorted({part for _, part in found}))
    ratios = dict(zip(order, settings.ratios(statement.value, [f"{alias} {part}" for alias in order]), strict=True))
    for selector, pairs in chosen:
        text = write((Statement((selector,), statement.value),)) if said else ""
        for aliases, part in pairs or [((), "")]:
            yield Rule({alias: ratios[alias] for alias in aliases}, part, text)
