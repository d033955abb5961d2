"""Several LoRAs as one value that nodes pass on, and their patches put on a model together."""
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...shared.text_syntax import shorten
from ..block_weights.block_language import NAMED, Settings, parse
from ..block_weights.finite_inputs import check_finite
from ..file.lora_files import LoraFile, listed_lora, lora_path
from ..patches import energy, rank_stack
from ..patches.adapter_parts import is_config
from ..patches.combine import SUM, Combination, combined
from ..patches.linear_strength import as_linear
from .bypass import BYPASS, PATCH, branches_of, divide, lay_down, told, told_moved, with_branches
from .own_strengths import put_strengths
from .patching import ApplyResult, Component, dry_run

ADDED = Combination()
NO_LORA = ("", "none")


class Layer(NamedTuple):
    """One LoRA of a stack: a name that the host lists, its strengths, its block weights as text, how they are read."""
    name: str
    strength_model: float
    strength_clip: float
    blocks: str = ""
    settings: Settings = NAMED


def extended_stack(stack, lora_stack, *more: Layer) -> tuple[Layer, ...]:
    """A stack, a LORA_STACK of other packs (name, strength of the model, strength of the CLIP) and more LoRAs.

    Raises ValueError when one of them has another form or no finite strength, FileNotFoundError for a name that the
    host does not list."""
    layers = (*checked(stack or ()), *_from_tuples(lora_stack or ()), *more)
    for each in layers:
        lora_path(each.name)
    for each in more:
        check_finite(strength_model=each.strength_model, strength_clip=each.strength_clip, a=each.settings.a,
                     b=each.settings.b)
    return layers


def checked(stack) -> tuple[Layer, ...]:
    """The stack itself, when it is one. Raises ValueError otherwise."""
    if not isinstance(stack, tuple) or not all(isinstance(layer, Layer) for layer in stack):
        raise ValueError(f"stack: expected the output of Stack LoRA, got {type(stack).__name__}.")
    return stack


def _from_tuples(lora_stack) -> list[Layer]:
    try:
        rows = [(str(name), float(model), float(clip)) for name, model, clip in lora_stack]
    except (TypeError, ValueError, OverflowError):
        raise ValueError("lora_stack: expected a list of (name, model strength, CLIP strength), "
                         f"got {shorten(repr(lora_stack))}.") from None
    if odd := next((row for row in rows if not all(map(math.isfinite, row[1:]))), None):
        raise ValueError(f"lora_stack: {shorten(odd[0])} has the strengths {odd[1]:g} and {odd[2]:g}, which must be "
                         "finite numbers.")
    return [Layer(*row) for row in rows if row[0].lower() not in NO_LORA]


def as_tuples(stack: Iterable[Layer]) -> list[tuple[str, float, float]]:
    """The stack as a LORA_STACK, which has no place for block weights."""
    return [(layer.name, layer.strength_model, layer.strength_clip) for layer in stack]


def apply_stack(model, clip, stack: Iterable[Layer], apply_as: str = PATCH, how: Combination = ADDED) -> tuple:
    """Clones of model and clip (or None) with every LoRA of the stack, and [(layer, its ApplyResult)].

    Plain LoRAs on one weight become one adapter; what depends on the weight it changes keeps its place in the order.
    Where nothing is applied, model and clip come back as the objects that came in."""
    results, metadata = [], {}
    for layer in checked(stack):
        lora = listed_lora(layer.name, "stack")
        results.append((layer, _examined(model, clip, lora, layer)))
        metadata = lora.metadata or metadata
    both = [[result.components[side] for _, result in results] for side in (0, 1) if side == 0 or clip]
    if apply_as == BYPASS and results:
        (model, clip), notes = _bypassed_both(model, clip, both, metadata, how)
        layer, result = results[-1]
        return model, clip, [*results[:-1], (layer, result._replace(notes=(*result.notes, *notes)))]
    patched = _patched(model, both[0], metadata, how), _patched(clip, both[1], metadata, how) if clip else None
    if notes := [*told_moved(model, patched[0]), *told_moved(clip, patched[1])]:
        layer, result = results[-1]
        results[-1] = layer, result._replace(notes=(*result.notes, *notes))
    return *patched, results


def apply_bypassed(model, clip, lora: LoraFile, strength_model: float, strength_clip: float, spec,
                   settings: Settings = NAMED) -> tuple:
    """As `patching.apply_lora`, with the LoRA beside the layers instead of in their weights."""
    result = dry_run(model, clip, lora, strength_model, strength_clip, spec, settings)
    (model, clip), notes = _bypassed_both(model, clip, [[each] for each in result.components], lora.metadata)
    return model, clip, result._replace(notes=(*result.notes, *notes))


def _bypassed_both(model, clip, components, metadata, how=ADDED):
    owners, notes = [], []
    for owner, rows in zip((model, clip), [*components, []], strict=False):
        owner, note = _bypassed(owner, rows, metadata, how)
        owners.append(owner)
        notes += [f"{rows[0].name}, {note}"] if note else []
    return owners, notes


def _bypassed(owner, components: Sequence[Component], metadata: dict[str, str], how: Combination) -> tuple:
    """A clone of owner with the components' changes as branches, patches where they have to be, and what it became."""
    rows = joined_entries(components, how)
    if not rows:
        return owner, ""
    clone = owner.clone()
    divided = divide(getattr(clone, "patcher", clone).model, rows, branches_of(owner))
    _put(clone, merged(divided.patched), metadata)
    with_branches(clone, divided.branches)
    return clone, "; ".join([told(divided), *told_moved(owner, clone)])


def _examined(model, clip, lora: LoraFile, layer: Layer) -> ApplyResult:
    try:
        return dry_run(model, clip, lora, layer.strength_model, layer.strength_clip, parse(layer.blocks),
                       layer.settings)
    except ValueError as error:
        raise ValueError(f"{layer.name}: {error}") from None


class Entry(NamedTuple):
    """A patch as the host keeps it: its effect times `change`, on the weight times `weight`."""
    target: str | tuple
    patch: object
    change: float
    weight: float

    @property
    def key(self) -> str:
        return self.target if isinstance(self.target, str) else self.target[0]

    @property
    def depends(self) -> bool:
        """Whether it matters what was added to the weight before."""
        return self.weight != 1.0 or energy.needs_weight(self.patch)


def entries(components: Sequence[Component]) -> list[Entry]:
    """The patches of several LoRAs on one model, in their order, with the strengths that their blocks got."""
    return [Entry(change.target, change.patch, 1.0, 1.0) if is_config(change.patch) else
            Entry(change.target, *as_linear(change.patch, component.strength * change.ratio))
            for component in components for change in component.applied()]


def joined_entries(components: Sequence[Component], how: Combination) -> list[Entry]:
    """As `entries`; where several LoRAs change one weight, and they are not just added, one entry that joins them."""
    if how.method == SUM:
        return entries(components)
    every, by_key = [entries([component]) for component in components], {}
    for number, layer in enumerate(every):
        for entry in layer:
            if not is_config(entry.patch):
                by_key.setdefault(entry.key, {}).setdefault(number, []).append(host_row(entry))
    shared = {key: rows for key, rows in by_key.items() if len(rows) > 1}
    alone = [entry for layer in every for entry in layer if is_config(entry.patch) or entry.key not in shared]
    return alone + [Entry(key, combined(how, key, rows.values()), 1.0, 1.0) for key, rows in shared.items()]


def host_row(entry: Entry) -> tuple:
    """The entry as ModelPatcher.patches holds it."""
    offset, function = (None, None) if isinstance(entry.target, str) else (*entry.target[1:], None)[:2]
    return entry.change, entry.patch, entry.weight, offset, function


def merged(patches: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The patches by state-dict key, in their order, with plain LoRAs on the same target made one."""
    by_key, open_runs = {}, {}
    for item in patches:
        row = by_key.setdefault(item.key, [])
        if item.depends:
            open_runs.pop(item.key, None)
            row.append([item])
        elif rank_stack.stackable(item.patch):
            runs = open_runs.setdefault(item.key, {})
            if item.target in runs:
                runs[item.target].append(item)
            else:
                runs[item.target] = [item]
                row.append(runs[item.target])
        else:
            row.append([item])
    return {key: [_one(run) for run in row] for key, row in by_key.items()}


def _one(run: list[Entry]) -> Entry:
    if len(run) == 1:
        return run[0]
    return Entry(run[0].target, rank_stack.combine([(item.patch, item.change) for item in run]), 1.0, 1.0)


def _patched(owner, components: Sequence[Component], metadata: dict[str, str], how: Combination):
    rows = merged(joined_entries(components, how))
    if not rows:
        return owner
    clone = owner.clone()
    _put(clone, rows, metadata)
    return clone


def _put(clone, rows: dict[str, list[Entry]], metadata: dict[str, str]) -> None:
    patcher = getattr(clone, "patcher", clone)
    lay_down(clone, ((key, item.depends) for key, row in rows.items() for item in row))
    for step in _rounds(rows.values()):
        clone.add_patches({item.target: item.patch for item in step}, 1.0)
        put_strengths(patcher.patches, {item.target: item[1:] for item in step}, 1.0)
    if metadata:
        patcher.set_attachments("lora_metadata", metadata)


def _rounds(rows: Iterable[list[Entry]]) -> list[list[Entry]]:
    """Calls of add_patches, which takes one patch a target: as few as keep the order of every weight."""
    rounds = {}
    for row in rows:
        in_order, seen = any(item.depends for item in row), {}
        for item in row:
            place = None if in_order else item.target
            seen[place] = seen.get(place, -1) + 1
            rounds.setdefault(seen[place], []).append(item)
    return [rounds[number] for number in sorted(rounds)]
