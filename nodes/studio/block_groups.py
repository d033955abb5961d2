"""The blocks of a LoRA in groups, each of which can be given a weight of its own.

A group is what stands before the `=` in a text of block weights: `J00-J03`, `S*,MID`, `L18.mlp`. Groups are separated
by `;` or new lines; where two speak of a weight the later one has it, and what none speaks of is a group of its own.
"""
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from ..lora.applying.patching import Component, dry_run, patched
from ..lora.block_weights.block_language import DEFAULT, Ramp, Statement, parse, write
from ..lora.file.lora_files import LoraFile
from ..lora.model import key_maps
from ..lora.model.blocks import Place, runs
from ..lora.model.parts import PARTS, matches
from ..shared.text_syntax import shorten, statements

EACH, MOST = "each", 8
REST = "the rest"


class Group(NamedTuple):
    """selectors of the block language; (DEFAULT,) for what no other group speaks of."""
    selectors: tuple[str, ...]

    @property
    def name(self) -> str:
        return REST if self.selectors == (DEFAULT,) else shorten(",".join(self.selectors), 40)


class GroupedLora(NamedTuple):
    """A LoRA on a model. members: the number of its group for each change of `side`."""
    model: object
    side: Component
    groups: tuple[Group, ...]
    members: tuple[int, ...]
    metadata: dict[str, str]
    unused: int

    @property
    def names(self) -> list[str]:
        return [group.name for group in self.groups]

    def weighted(self, weights: Sequence[float]):
        """The model with the LoRA in it, each group at its weight; the model itself where all are 0."""
        changes = [change._replace(ratio=float(weights[number]) if number >= 0 else 0.0)
                   for change, number in zip(self.side.changes, self.members, strict=True)]
        return patched(self.model, self.side._replace(changes=changes), self.metadata)

    def spec(self, weights: Sequence[float]) -> str:
        """The `blocks` text with which Load LoRA does what `weighted` does."""
        return write(tuple(_statement(*pair) for pair in zip(self.groups, weights, strict=True)))


def read(text: str) -> tuple[Group, ...]:
    """The groups a text names; none for an empty one. Raises ValueError for what the block language cannot read."""
    pieces = statements(text, "groups")
    for piece in pieces:
        if "=" in piece:
            raise ValueError(f'groups: expected blocks without a weight, such as J00-J03, got "{shorten(piece)}"')
    groups = tuple(Group(tuple(name.strip() for name in piece.split(","))) for piece in pieces)
    for group in groups:
        if not all(group.selectors) or any(name.lower() in (DEFAULT, EACH) for name in group.selectors):
            got = shorten(",".join(group.selectors))
            raise ValueError(f'groups: expected names of blocks such as J00,J01, got "{got}"; '
                             "each stands alone, and what no group names is one by itself")
    return groups


def check(text: str) -> None:
    """Raises ValueError, without knowing the model, where `group_blocks` would because of the words alone."""
    if text.strip().lower() != EACH:
        groups = read(text)
        if groups:
            _parsed(groups)


def group_blocks(model, lora: LoraFile, strength: float, text: str) -> GroupedLora:
    """The LoRA in the groups of `text`; empty: at most MOST of its own blocks; `each`: every block by itself.

    Raises ValueError with one sentence where the LoRA changes nothing, a name is not there, a group holds nothing, or
    there is only one."""
    whole = dry_run(model, None, lora, strength, 0.0, ()).components[0]
    fitting = [change for change in whole.changes if not change.problem]
    own = {change.alias for change in fitting}
    if not own:
        got = f"one that fits none of its weights ({whole.changes[0].problem})" if whole.changes else (
            "one that has nothing for any of its weights")
        raise ValueError(f"lora: expected one for {type(model.model).__name__}, got {got}; choose a LoRA that was made "
                         "for this model")
    if not strength:
        raise ValueError("strength_model: expected a strength at which the LoRA does something, got 0")
    aliases = [alias for alias in whole.aliases if alias in own]
    groups = _named(text, aliases)
    try:
        result = dry_run(model, None, lora, strength, 0.0, _numbered(groups))
    except ValueError as error:
        raise ValueError(str(error).replace("blocks:", "groups:", 1)) from None
    side = result.components[0]
    members = [-1 if change.problem else round(change.ratio) - 1 for change in side.changes]
    kept = _filled([*groups, Group((DEFAULT,))], members)
    places = key_maps.of_model(model.model).places
    _check_several(kept, aliases, [places[change.target if isinstance(change.target, str) else change.target[0]]
                                   for change in fitting])
    numbers = {number: at for at, number in enumerate(sorted({m for m in members if m >= 0}))}
    members = tuple(numbers.get(member, -1) for member in members)
    return GroupedLora(model, side, kept, members, lora.metadata, len(result.unused))


def _named(text: str, aliases: list[str]) -> tuple[Group, ...]:
    if text.strip().lower() == EACH:
        return tuple(Group((alias,)) for alias in aliases)
    return read(text) or default_groups(aliases)


def _parsed(groups) -> tuple:
    return parse(write(tuple(_statement(group, 1.0) for group in groups)))


def _numbered(groups) -> tuple[Statement, ...]:
    """Block weights that give every weight the number of its group, from 1 on: so that the language decides."""
    return tuple(_statement(group, number) for number, group in enumerate([*groups, Group((DEFAULT,))], 1))


def _statement(group: Group, value: float) -> Statement:
    return Statement(group.selectors, Ramp(float(value), float(value)))


def _filled(groups, members) -> tuple[Group, ...]:
    """The groups that hold something; only the rest may be empty. Raises ValueError for another."""
    for number, group in enumerate(groups[:-1]):
        if number not in members:
            raise ValueError(f"groups: {group.name} holds nothing that this LoRA changes in the model, or later groups "
                             "take all of it; leave it out")
    return tuple(groups if len(groups) - 1 in members else groups[:-1])


def _check_several(groups, aliases, places):
    if len(groups) > 1:
        return
    if len(aliases) > 1:
        why, way = f"one group holds all of the LoRA, {groups[0].name}", "with each, or leave groups empty"
    else:
        why, way = f"the LoRA changes one block, {aliases[0]}", f"such as {_part(places)}, apart from its rest"
    raise ValueError(f"groups: expected at least two, but {why}: its effect is that of the whole. "
                     + (f"Divide it {way}" if len(places) > 1 else "It is a single weight, and has no parts"))


def _part(places: list[Place]) -> str:
    """A selector of some of the places in a block: of a part that has a name, else of a module."""
    for part in PARTS:
        if 0 < sum(matches(part, place.rest) for place in places) < len(places):
            return f"{places[0].alias}.{part}"
    return f"{places[0].alias}.{places[0].rest.removesuffix('.weight')}"


def default_groups(aliases: list[str], most: int = MOST) -> tuple[Group, ...]:
    """Blocks, in the order of the model, in at most `most` groups: families apart, the largest divided again and again.

    >>> [group.name for group in default_groups(["IN04", "IN05", "MID", "OUT00"], 3)]
    ['IN04-IN05', 'MID', 'OUT00']
    """
    families: dict[str, list[str]] = {}
    for alias in aliases:
        families.setdefault("BASE" if alias.startswith("BASE") else alias.rstrip("0123456789"), []).append(alias)
    parts = list(families.values())
    while len(parts) > most:
        parts[-2:] = [parts[-2] + parts[-1]]
    counts = [1] * len(parts)
    while sum(counts) < most:
        at = max(range(len(parts)), key=lambda number: _size(parts[number]) / counts[number])
        if _size(parts[at]) <= counts[at]:
            break
        counts[at] += 1
    return tuple(Group(_selectors(piece)) for part, count in zip(parts, counts, strict=True)
                 for piece in _pieces(part, count))


def _size(part: list[str]) -> int:
    return 1 if part[0].startswith("BASE") else len(part)


def _pieces(part: list[str], count: int) -> list[list[str]]:
    """The part in `count` pieces, as equal as can be."""
    ends = [len(part) * number // count for number in range(count + 1)]
    return [part[start:end] for start, end in pairwise(ends)]


def _selectors(part: list[str]) -> tuple[str, ...]:
    return tuple(name for name, _ in runs(dict.fromkeys(part, "")))
