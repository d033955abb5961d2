"""Several LoRAs as one value that nodes pass on, and their patches put on a model together."""
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..block_weights.language import parse
from ..block_weights.values import NAMED, Settings
from ..file.files import LoraFile, listed_lora, lora_path
from ..patches import energy, rank_stack
from ..patches.linear import as_linear
from .patching import Outcome, Side, examine, put_strengths

NO_LORA = ("", "none")


class Layer(NamedTuple):
    """One LoRA of a stack: a name that the host lists, its strengths, its block weights as text, how they are read."""
    name: str
    strength_model: float
    strength_clip: float
    blocks: str = ""
    settings: Settings = NAMED


def joined(stack, lora_stack, layer: Layer) -> tuple[Layer, ...]:
    """A stack, a LORA_STACK of other packs (name, strength of the model, strength of the CLIP) and one more LoRA.

    Raises ValueError when one of them has another form, FileNotFoundError for a name that the host does not list."""
    layers = (*checked(stack or ()), *_from_tuples(lora_stack or ()), layer)
    for each in layers:
        lora_path(each.name)
    return layers


def checked(stack) -> tuple[Layer, ...]:
    """The stack itself, when it is one. Raises ValueError otherwise."""
    if not isinstance(stack, tuple) or not all(isinstance(layer, Layer) for layer in stack):
        raise ValueError(f"stack: expected the output of Stack LoRA, got {type(stack).__name__}.")
    return stack


def _from_tuples(lora_stack) -> list[Layer]:
    try:
        rows = [(str(name), float(model), float(clip)) for name, model, clip in lora_stack]
    except (TypeError, ValueError):
        raise ValueError("lora_stack: expected a list of (name, model strength, CLIP strength), "
                         f"got {str(lora_stack)[:80]}.") from None
    return [Layer(*row) for row in rows if row[0].lower() not in NO_LORA]


def apply_stack(model, clip, stack: Iterable[Layer]) -> tuple:
    """Clones of model and clip (or None) with every LoRA of the stack, and [(layer, its Outcome)].

    Plain LoRAs on one weight become one adapter; what depends on the weight it changes keeps its place in the order.
    Where nothing is applied, model and clip come back as the objects that came in."""
    outcomes, metadata = [], {}
    for layer in checked(stack):
        lora = listed_lora(layer.name, "stack")
        outcomes.append((layer, _examined(model, clip, lora, layer)))
        metadata = lora.metadata or metadata
    model = _patched(model, [outcome.sides[0] for _, outcome in outcomes], metadata)
    clip = _patched(clip, [outcome.sides[1] for _, outcome in outcomes], metadata) if clip else None
    return model, clip, outcomes


def _examined(model, clip, lora: LoraFile, layer: Layer) -> Outcome:
    try:
        return examine(model, clip, lora, layer.strength_model, layer.strength_clip, parse(layer.blocks),
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


def entries(sides: Sequence[Side]) -> list[Entry]:
    """The patches of several LoRAs on one model, in their order, with the strengths that their blocks got."""
    return [Entry(change.target, *as_linear(change.patch, side.strength * change.ratio))
            for side in sides for change in side.applied()]


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


def _patched(owner, sides: Sequence[Side], metadata: dict[str, str]):
    rows = merged(entries(sides))
    if not rows:
        return owner
    clone = owner.clone()
    patcher = getattr(clone, "patcher", clone)
    for step in _rounds(rows.values()):
        clone.add_patches({item.target: item.patch for item in step}, 1.0)
        put_strengths(patcher.patches, {item.target: item[1:] for item in step}, 1.0)
    if metadata:
        patcher.set_attachments("lora_metadata", metadata)
    return clone


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
