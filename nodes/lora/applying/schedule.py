"""A LoRA whose strength follows the steps of sampling, through the hooks of the host, with a ratio for every block."""
import math
from collections.abc import Iterable, Mapping

import comfy.hooks
import comfy.memory_management
import torch
from comfy.utils import get_attr

from ...shared.host_capabilities import require
from ...shared.text_syntax import check_length, shorten
from ..block_weights import presets
from ..block_weights.block_language import DEFAULT, NAMED, Item, Settings, Statement
from ..block_weights.finite_inputs import check_finite
from ..block_weights.look_alikes import hint
from ..block_weights.selectors import means_encoders
from ..block_weights.weights import BlockWeights, resolve
from ..file.loading import converted, model_patches
from ..file.lora_files import LoraFile
from ..model import blocks, key_maps
from ..model.unsupported_models import TITLES, loaded_by
from ..patches.adapter_parts import is_config, part
from ..patches.linear_strength import blended
from .apply_report import report
from .bypass import BYPASS, PATCH, divide, told
from .own_strengths import put_strengths
from .patching import Change, Component, clip_component, dry_run, model_component
from .scheduled_bypass import BypassHook, ScheduledBranches, patched_all_the_same
from .stack import entries

Keyframe = tuple[float, float]  # share of the sampling that has passed, 0..1; strength from there on


def parse_keyframes(text: str) -> tuple[Keyframe, ...]:
    """Reads `0:0.2, 0.5:1`. Raises ValueError, which quotes the piece that cannot be read."""
    check_length(text, "keyframes")
    pieces = [piece.strip() for piece in text.replace(";", ",").replace("\n", ",").split(",") if piece.strip()]
    frames = tuple(_keyframe(piece) for piece in pieces)
    for (before, _), (after, _), piece in zip(frames, frames[1:], pieces[1:], strict=False):
        if after <= before:
            raise ValueError(f'keyframes: "{shorten(piece)}" starts at {after:g}, not after {before:g}; write them in '
                             "order")
    return frames


def _keyframe(piece: str) -> Keyframe:
    try:
        start, strength = map(float, piece.split(":"))
    except ValueError:
        raise ValueError(f'keyframes: expected START:STRENGTH such as 0.5:1, got "{shorten(piece)}"'
                         + hint(piece)) from None
    if not 0 <= start <= 1:
        raise ValueError(f'keyframes: "{shorten(piece)}" starts at {start:g}; a start is a share of the sampling, 0 to '
                         "1")
    if not math.isfinite(strength):
        raise ValueError(f'keyframes: the strength of "{shorten(piece)}" is not a finite number')
    return start, strength


def lora_hooks(tensors: Mapping[str, torch.Tensor], strength_model: float, strength_clip: float,
               spec: tuple[Item, ...], keyframes: Iterable[Keyframe],
               weights: BlockWeights | None = None, settings: Settings = NAMED,
               apply_as: str = PATCH) -> comfy.hooks.HookGroup:
    """The hooks of one LoRA. weights: what spec means under these settings, where model and CLIP were there to ask.
    apply_as: one of bypass.APPLY_AS; beside the layers only what can be a branch of the model, the rest is patched."""
    require("schedules")
    hook = BlockHook(strength_model, strength_clip)
    hook.weights, hook.spec = dict(converted(tensors)), spec
    hook.ratios, hook.settings, hook.apply_as = weights, settings, apply_as
    group = comfy.hooks.HookGroup()
    group.add(hook)
    if apply_as == BYPASS:
        require("calls of the model")
        group.add(BypassHook(ScheduledBranches(hook.component)))
    frames = comfy.hooks.HookKeyframeGroup()
    for start, strength in keyframes:
        frames.add(comfy.hooks.HookKeyframe(strength, start))
    group.set_keyframes_on_hooks(frames)
    return group


def chained_hooks(previous, tensors: Mapping[str, torch.Tensor], strength_model: float, strength_clip: float,
                  spec: tuple[Item, ...], keyframes: Iterable[Keyframe], weights: BlockWeights | None,
                  settings: Settings = NAMED, apply_as: str = PATCH):
    """The hooks of one LoRA behind those of other nodes (or None); without strength only those. Raises ValueError for
    strengths that are no finite numbers."""
    check_finite(strength_model=strength_model, strength_clip=strength_clip, a=settings.a, b=settings.b)
    previous = previous or comfy.hooks.HookGroup()
    if not strength_model and not strength_clip:
        return previous
    own = lora_hooks(tensors, strength_model, strength_clip, spec, keyframes, weights, settings, apply_as)
    return previous.clone_and_combine(own)


def check_and_report(name: str, lora: LoraFile, strength_model: float, strength_clip: float, spec: tuple[Item, ...],
                     model, clip, settings: Settings = NAMED, apply_as: str = PATCH):
    """The report on the model and CLIP that are connected, what the block weights mean there (None: not all is), and
    the ApplyResult (None without a model).

    Raises ValueError where hooks will not work on them."""
    if model is None:
        return "Connect model (and clip) to see what this changes there.", None, None
    check_model(model, apply_as)
    result = dry_run(model, clip, lora, strength_model, strength_clip, spec, settings)
    if apply_as == BYPASS:
        result = result._replace(notes=(*result.notes, told(divide(model.model, entries(result.components[:1])))))
    for component, module in zip(result.components, (model.model, clip and clip.cond_stage_model), strict=False):
        bypassed = apply_as == BYPASS and module is model.model
        check_hookable(module, patched_all_the_same(component, module) if bypassed else component)
    places = key_maps.of_model(model.model).places
    if clip:
        places = places | key_maps.of_encoders(clip.cond_stage_model).places
    targets = [change.target for component in result.components for change in component.changes]
    weights = resolve(spec, places.values(), True, settings, targets) if clip else None
    return report(name, result), weights, result


class BlockHook(comfy.hooks.WeightHook):
    """The host's hook of a LoRA, which gives each block its own ratio and keeps every format linear in its strength."""

    def __init__(self, strength_model: float = 1.0, strength_clip: float = 1.0):
        super().__init__(strength_model, strength_clip)
        self.spec: tuple[Item, ...] = ()
        self.ratios: BlockWeights | None = None
        self.settings, self.apply_as = NAMED, PATCH

    def clone(self):
        copy = super().clone()
        copy.spec, copy.ratios, copy.settings = self.spec, self.ratios, self.settings
        copy.apply_as = self.apply_as
        return copy

    def add_hook_patches(self, model, model_options, target_dict, registered):
        if not self.should_register(model, model_options, target_dict, registered):
            return False
        is_clip = target_dict.get("target") == comfy.hooks.EnumWeightTarget.Clip
        component = self.component(model.model, is_clip)
        if self.apply_as == BYPASS and not is_clip:
            component = patched_all_the_same(component, model.model)
            if not component.changes:
                return False        # nothing to patch: at a keyframe the host has nothing to do
        check_hookable(model.model, component)
        entries = {c.target: (blended(c.patch), component.strength * c.ratio, 1.0) for c in component.applied()}
        model.add_hook_patches(self, {target: patch for target, (patch, *_) in entries.items()}, 1.0)
        put_strengths(model.hook_patches[self.hook_ref], entries, 1.0)
        registered.add(self)
        return True

    def component(self, module, is_clip: bool = False) -> Component:
        """What the LoRA has for the host's model or its text encoders."""
        if is_clip:
            places = key_maps.of_encoders(module).places
            weights = self.ratios or resolve(encoder_part(self.spec, places), places.values(), True,
                                             self.settings)
            return clip_component(self.weights, module, places, weights, self._strength_clip)
        places = key_maps.of_model(module).places
        targets = model_patches(self.weights, module) if self.settings.vector_mode == "inspire" else ()
        weights = self.ratios or resolve(self.spec, places.values(), False, self.settings, targets)
        return model_component(self.weights, module, places, weights, self._strength_model)


def encoder_part(spec: Iterable[Item], places: Mapping[str, blocks.Place]) -> list[Statement]:
    """What block weights say about text encoders. Names of the model are left out, because the model is not here."""
    kept = []
    for item in presets.expand(spec):
        if not isinstance(item, Statement):
            raise ValueError("blocks: what a vector means for the text encoders follows from the model; connect model "
                             "and clip to Schedule LoRA, or write TE.*=1")
        names = tuple(name for name in item.selectors if _is_known(name, item, places))
        if names:
            kept.append(item._replace(selectors=names))
    return kept


def _is_known(name: str, item: Statement, places: Mapping[str, blocks.Place]) -> bool:
    if name == DEFAULT or means_encoders(name):
        return True
    try:
        resolve([item._replace(selectors=(name,))], places.values())
    except ValueError:
        return False
    return True


def check_hookable(module: torch.nn.Module, component: Component) -> None:
    """Raises ValueError where the host's hooks would fail in the middle of sampling."""
    for change in component.applied():
        if not is_config(change.patch) and (reason := _obstacle(module, change)):
            raise ValueError(f"Schedule LoRA: {reason} ({change.key}). Use Load LoRA (Block Weights), whose strength "
                             "does not change while sampling.")


def _obstacle(module: torch.nn.Module, change: Change) -> str:
    weight = get_attr(module, change.key)
    if type(weight) not in (torch.Tensor, torch.nn.Parameter) or not weight.is_floating_point():
        return f"ComfyUI's hooks cannot change quantised weights, and this one is a {_kind(weight)}"
    if part(change.patch, "reshape") is not None:
        return "the LoRA enlarges a weight, which ComfyUI's hooks cannot do"
    return ""


def _kind(weight: torch.Tensor) -> str:
    name = type(weight).__name__
    return f"tensor of {weight.dtype}" if name in ("Tensor", "Parameter") else name


def check_model(model, apply_as: str = PATCH) -> None:
    """Raises ValueError for a model that no hook can reach, before anything is sampled."""
    if (name := loaded_by(model)) and not (name == "gguf" and apply_as == BYPASS):
        advice = ("Use Load LoRA (Block Weights), whose strength does not change while sampling." if name == "gguf"
                  else "Use the LoRA loader of its pack.")
        raise ValueError(f"model: ComfyUI's hooks do not reach the weights of a {TITLES[name]} model. {advice}")
    if model.is_dynamic() and model.cached_patcher_init is None:
        raise ValueError("model: hooks need a second copy of a model under dynamic VRAM, and ComfyUI does not know "
                         "where this one was loaded from. Start ComfyUI with --disable-dynamic-vram.")


def dynamic_vram_notice() -> str:
    """What a person should know before sampling with hooks on this machine; "" when there is nothing."""
    if comfy.memory_management.aimdo_enabled:
        return ("Dynamic VRAM is on: for hooks ComfyUI loads the model a second time, without dynamic VRAM, which "
                "takes its size in memory again. --disable-dynamic-vram avoids that.")
    return ""

