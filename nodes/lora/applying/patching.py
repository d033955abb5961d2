"""From the tensors of a LoRA to patches on clones of a MODEL and a CLIP, each patch with the ratio of its block."""
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import comfy.lora_convert
import comfy.utils
import torch

from ..block_weights.language import Item
from ..block_weights.values import NAMED, Settings
from ..block_weights.weights import BlockWeights, resolve
from ..file.files import LoraFile
from ..file.loading import ReadKeys, clip_patches, model_patches
from ..model import blocks, maps
from ..model.foreign import check_patchable
from ..patches import shapes
from ..patches.linear import as_linear


class Change(NamedTuple):
    """What the LoRA has for one weight, or for a slice of it."""
    target: str | tuple
    """State-dict key, or (key, (dimension, start, length), ...) for a slice of a fused weight."""
    patch: object
    """The host's adapter, or its ("diff", tensors) or ("set", tensors). None in a block that is muted as a whole."""
    alias: str
    ratio: float
    problem: str
    """Why it cannot be applied; "" when it can."""
    unsplit: bool
    """Whether a selector asked for a part that this weight holds fused with others."""


class Side(NamedTuple):
    """The model or the CLIP: every block it has, what the LoRA changes in it, and the strength given for it."""
    name: str
    aliases: list[str]
    changes: list[Change]
    strength: float

    ratios: Mapping[str, float] = {}
    """The ratio of every block as a whole, by alias."""

    def applied(self) -> list[Change]:
        return [change for change in self.changes if not change.problem and change.ratio * self.strength]


class Outcome(NamedTuple):
    """What became of a LoRA: `sides` holds the model and, where one is connected, the CLIP."""
    sides: list[Side]
    keys: int
    unused: list[str]
    notes: tuple[str, ...] = ()
    """How vectors were read."""
    lost: Mapping[str, list[str]] = {}
    """Keys that the host takes and does not use, by the reason."""


def apply_lora(model, clip, lora: LoraFile, strength_model: float, strength_clip: float, spec: Iterable[Item],
               settings: Settings = NAMED) -> tuple:
    """Clones of model and clip (or None) with the LoRA in them, and the Outcome.

    Where nothing is applied to one of them, it comes back as the very object that came in.
    Raises ValueError for names in spec that the model does not have, and for a LoRA with half an adapter."""
    outcome = examine(model, clip, lora, strength_model, strength_clip, spec, settings)
    new_model = patched(model, outcome.sides[0], lora.metadata)
    new_clip = patched(clip, outcome.sides[1], lora.metadata) if clip else None
    return new_model, new_clip, outcome


def examine(model, clip, lora: LoraFile, strength_model: float, strength_clip: float, spec: Iterable[Item],
            settings: Settings = NAMED) -> Outcome:
    """What apply_lora would do, without doing it. Raises what it raises."""
    check_patchable(model)
    places = maps.of_model(model.model).places
    clip_places = maps.of_encoders(clip.cond_stage_model).places if clip else {}
    tensors = ReadKeys(comfy.lora_convert.convert_lora(lora.tensors))
    read = partial(resolve, spec, [*places.values(), *clip_places.values()], clip is not None, settings)
    weights = read() if settings.vector_mode == "named" else None  # Inspire's reading has to count the patches first
    muted = _muted(weights, places | clip_places)
    patches = model_patches(tensors, model.model, muted)
    encoder_patches = clip_patches(tensors, clip.cond_stage_model, muted) if clip else {}
    weights = weights or read([*patches, *encoder_patches])
    sides = [_side("model", patches, model.model, places, weights, strength_model)]
    if clip:
        sides.append(_side("CLIP", encoder_patches, clip.cond_stage_model, clip_places, weights, strength_clip))
    unused = [key for key in tensors if key not in tensors.read]
    return Outcome(sides, len(tensors), unused, weights.notes, tensors.lost)


def model_side(tensors: Mapping[str, torch.Tensor], module, places: Mapping[str, blocks.Place], weights: BlockWeights,
               strength: float) -> Side:
    """What the LoRA has for a model of the host, such as ModelPatcher.model, whose weights have these places."""
    return _side("model", model_patches(tensors, module), module, places, weights, strength)


def clip_side(tensors: Mapping[str, torch.Tensor], module, places: Mapping[str, blocks.Place], weights: BlockWeights,
              strength: float) -> Side:
    """What the LoRA has for the text encoders of the host, such as CLIP.cond_stage_model."""
    return _side("CLIP", clip_patches(tensors, module), module, places, weights, strength)


def _side(name, patches, module, places, weights: BlockWeights, strength) -> Side:
    aliases = list(dict.fromkeys(place.alias for place in places.values()))
    changes = [_change(target, patch, module, places, weights) for target, patch in patches.items()]
    return Side(name, aliases, changes, strength, {alias: weights.whole(alias) for alias in aliases})


def _muted(weights: BlockWeights | None, places: Mapping[str, blocks.Place]) -> Callable[[str | tuple], bool]:
    """Tells the targets in blocks that are left out as a whole."""
    silent = {alias for alias in {place.alias for place in places.values()} if weights and weights.mutes(alias)}
    keys = {key for key, place in places.items() if place.alias in silent}
    return lambda target: (target if isinstance(target, str) else target[0]) in keys


def _change(target, patch, module, places, weights: BlockWeights) -> Change:
    key, offset = (target, None) if isinstance(target, str) else target[:2]
    if key not in places:
        return Change(target, patch, "", 1.0, "the host finds no weight of this name", False)
    if patch is None:
        return Change(target, None, places[key].alias, 0.0, "", False)
    shape = tuple(comfy.utils.get_attr(module, key).shape)  # a state dict holds quantised weights packed
    place = places[key]
    return Change(target, patch, place.alias, weights.ratio(place, offset, shape, target),
                  shapes.problem(patch, shape, offset), not offset and weights.misses(place))


def patched(owner, side: Side, metadata: dict[str, str]):
    """A clone of owner with the side's changes, or owner itself when there are none."""
    entries = {c.target: as_linear(c.patch, side.strength * c.ratio) for c in side.applied()}
    if not entries:
        return owner
    clone = owner.clone()
    clone.add_patches({target: patch for target, (patch, _, _) in entries.items()}, side.strength)
    patcher = getattr(clone, "patcher", clone)
    put_strengths(patcher.patches, entries, side.strength)
    if metadata:
        patcher.set_attachments("lora_metadata", metadata)
    return clone


def put_strengths(patches: dict[str, list[tuple]], entries: dict, strength: float) -> None:
    """Sets the ratios in our own entries: add_patches takes one strength, and each call walks the whole model."""
    for target, (patch, change, weight) in entries.items():
        if (change, weight) != (strength, 1.0):
            key = target if isinstance(target, str) else target[0]
            patches[key] = [(change, patch, weight, *entry[3:]) if entry[1] is patch else entry
                            for entry in patches[key]]
