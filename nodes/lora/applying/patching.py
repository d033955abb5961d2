"""From the tensors of a LoRA to patches on clones of a MODEL and a CLIP, each patch with the ratio of its block."""
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import comfy.utils
import torch

from ..block_weights.block_language import NAMED, Item, Settings
from ..block_weights.finite_inputs import check_finite
from ..block_weights.weights import BlockWeights, resolve
from ..file.loading import clip_patches, converted, model_patches, unread_reasons
from ..file.lora_files import LoraFile
from ..model import blocks, key_maps
from ..model.unsupported_models import check_patchable
from ..patches import shape_check
from ..patches.adapter_parts import is_config
from ..patches.energy import needs_weight
from ..patches.host_narrowing import as_the_host_narrows
from ..patches.linear_strength import as_linear
from .bypass import lay_down, told_moved
from .own_strengths import put_strengths


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
    shape: tuple[int, ...] = ()
    """Of the whole weight, where the patch is known."""

    @property
    def key(self) -> str:
        return self.target if isinstance(self.target, str) else self.target[0]

    @property
    def offset(self) -> tuple[int, int, int] | None:
        return None if isinstance(self.target, str) else self.target[1]


class Component(NamedTuple):
    """The model or the CLIP: every block it has, what the LoRA changes in it, and the strength given for it."""
    name: str
    aliases: list[str]
    changes: list[Change]
    strength: float

    ratios: Mapping[str, float] = {}
    """The ratio of every block as a whole, by alias."""

    def applied(self) -> list[Change]:
        return [change for change in self.changes if not change.problem and change.ratio * self.strength]


class ApplyResult(NamedTuple):
    """What became of a LoRA: `components` holds the model and, where one is connected, the CLIP."""
    components: list[Component]
    keys: int
    unused: list[str]
    notes: tuple[str, ...] = ()
    """How the file and its vectors were read."""
    lost: Mapping[str, list[str]] = {}
    """Keys that the host takes and does not use, by the reason."""
    reasons: Mapping[str, str] = {}
    """Why keys of `unused` are not read although the host knows their weight, by key."""
    unreached: Sequence[str] = ()
    """The statements of the block weights that speak of nothing the LoRA changes."""


def apply_lora(model, clip, lora: LoraFile, strength_model: float, strength_clip: float, spec: Iterable[Item],
               settings: Settings = NAMED) -> tuple:
    """Clones of model and clip (or None) with the LoRA in them, and the ApplyResult.

    Where nothing is applied to one of them, it comes back as the very object that came in.
    Raises ValueError for names in spec that the model does not have, for strengths that are no finite numbers, and for
    a LoRA with half an adapter."""
    result = dry_run(model, clip, lora, strength_model, strength_clip, spec, settings)
    new_model = patched(model, result.components[0], lora.metadata)
    new_clip = patched(clip, result.components[1], lora.metadata) if clip else None
    notes = (*told_moved(model, new_model), *told_moved(clip, new_clip))
    return new_model, new_clip, result._replace(notes=(*result.notes, *notes))


def dry_run(model, clip, lora: LoraFile, strength_model: float, strength_clip: float, spec: Iterable[Item],
            settings: Settings = NAMED) -> ApplyResult:
    """What apply_lora would do, without doing it. Raises what it raises."""
    check_finite(strength_model=strength_model, strength_clip=strength_clip, a=settings.a, b=settings.b)
    check_patchable(model)
    places = key_maps.of_model(model.model).places
    clip_places = key_maps.of_encoders(clip.cond_stage_model).places if clip else {}
    tensors = converted(lora.tensors, lora.implied)
    read = partial(resolve, spec, [*places.values(), *clip_places.values()], clip is not None, settings)
    weights = read() if settings.vector_mode == "named" else None  # Inspire's reading has to count the patches first
    muted = _muted(weights, places | clip_places)
    patches = model_patches(tensors, model.model, muted)
    encoder_patches = clip_patches(tensors, clip.cond_stage_model, muted) if clip else {}
    weights = weights or read([*patches, *encoder_patches])
    components = [_component("model", patches, model.model, places, weights, strength_model)]
    if clip:
        components.append(_component("CLIP", encoder_patches, clip.cond_stage_model, clip_places, weights,
                                     strength_clip))
    names = set(key_maps.of_model(model.model).names)
    names |= key_maps.of_encoders(clip.cond_stage_model).names.keys() if clip else set()
    keys, notes = len(tensors) - len(lora.implied), (*lora.notes, *weights.notes)
    return ApplyResult(components, keys, tensors.unread(), notes, tensors.lost, unread_reasons(tensors, names),
                       _unreached(weights, components, places | clip_places))


def _unreached(weights: BlockWeights, components: Iterable[Component], places) -> list[str]:
    changes = [(places[c.key], c.offset, c.shape) for component in components for c in component.changes
               if c.key in places]
    return weights.unreached(changes) if changes else []


def model_component(tensors: Mapping[str, torch.Tensor], module, places: Mapping[str, blocks.Place],
                    weights: BlockWeights, strength: float) -> Component:
    """What the LoRA has for a model of the host, such as ModelPatcher.model, whose weights have these places."""
    return _component("model", model_patches(tensors, module), module, places, weights, strength)


def clip_component(tensors: Mapping[str, torch.Tensor], module, places: Mapping[str, blocks.Place],
                   weights: BlockWeights, strength: float) -> Component:
    """What the LoRA has for the text encoders of the host, such as CLIP.cond_stage_model."""
    return _component("CLIP", clip_patches(tensors, module), module, places, weights, strength)


def _component(name, patches, module, places, weights: BlockWeights, strength) -> Component:
    aliases = list(dict.fromkeys(place.alias for place in places.values()))
    changes = [_change(target, patch, module, places, weights) for target, patch in patches.items()]
    return Component(name, aliases, changes, strength, {alias: weights.whole(alias) for alias in aliases})


def _muted(weights: BlockWeights | None, places: Mapping[str, blocks.Place]) -> Callable[[str | tuple], bool]:
    """Tells the targets in blocks that are left out as a whole."""
    silent = {alias for alias in {place.alias for place in places.values()} if weights and weights.mutes(alias)}
    keys = {key for key, place in places.items() if place.alias in silent}
    return lambda target: (target if isinstance(target, str) else target[0]) in keys


def _change(target, patch, module, places, weights: BlockWeights) -> Change:
    key, offset = (target, None) if isinstance(target, str) else target[:2]
    if is_config(patch):
        return Change(target, patch, places[key].alias if key in places else "", 1.0, "", False)
    if key not in places:
        return Change(target, patch, "", 1.0, "the host finds no weight of this name", False)
    if patch is None and not offset:
        return Change(target, None, places[key].alias, 0.0, "", False)
    shape = tuple(comfy.utils.get_attr(module, key).shape)  # a state dict holds quantised weights packed
    place = places[key]
    if patch is None:
        return Change(target, None, place.alias, 0.0, "", False, shape)
    patch = as_the_host_narrows(patch, key, offset[2] if offset else shape[0])
    return Change(target, patch, place.alias, weights.ratio(place, offset, shape, target),
                  shape_check.problem(patch, shape, offset), not offset and weights.misses(place), shape)


def patched(owner, component: Component, metadata: dict[str, str]):
    """A clone of owner with the component's changes, or owner itself when there are none."""
    entries = {c.target: (c.patch, component.strength, 1.0) if is_config(c.patch) else
               as_linear(c.patch, component.strength * c.ratio) for c in component.applied()}
    if not entries:
        return owner
    clone = owner.clone()
    lay_down(clone, ((target if isinstance(target, str) else target[0], weight != 1.0 or needs_weight(patch))
                     for target, (patch, _, weight) in entries.items()))
    clone.add_patches({target: patch for target, (patch, _, _) in entries.items()}, component.strength)
    patcher = getattr(clone, "patcher", clone)
    put_strengths(patcher.patches, entries, component.strength)
    if metadata:
        patcher.set_attachments("lora_metadata", metadata)
    return clone
