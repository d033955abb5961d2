"""LoRAs with their strengths and block weights, written as one file that does the same at strength 1."""
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import comfy.utils
import torch
from torch import Tensor

from ..applying import apply_report
from ..applying.patching import ApplyResult, Component, dry_run
from ..applying.schedule import encoder_part
from ..block_weights.block_language import InspirePercent, Vector, parse
from ..block_weights.finite_inputs import check_finite
from ..block_weights.weights import resolve
from ..file.blocks_from_names import file_places, tracked_patches, unread_keys
from ..file.loading import converted, without_tucker_core
from ..patches.adapter_parts import is_config
from ..patches.combine import SUM, Combination, combined
from ..patches.lazy_weight import own_lazily
from ..patches.linear_strength import as_linear
from ..patches.merge import WeightedPatch, merge_patches
from ..patches.resize import resized
from .baking import SavedPatch, bake
from .export_names import format_of, model_names
from .output_file import file_stem, write_new
from .roundtrip_check import check_loads
from .saved_metadata import Source, file_metadata, not_taken

ADDED = Combination()


class Saved(NamedTuple):
    path: Path
    text: str
    result: ApplyResult | None
    """What the last source changes in the model; None without one."""
    results: Sequence[ApplyResult] = ()
    """What each source changes in the model; none without one."""


def save(sources: Sequence[Source], name: str, style: str, rank: int, metadata: dict[str, str], model=None,
         clip=None, how: Combination = ADDED) -> Saved:
    """Writes the sources as one LoRA and returns where, with a report.

    style: one of export_names.FORMATS. rank: 0 keeps everything exactly. Without a model a single LoRA keeps the names
    it has, which must be those of the style; merging and other names need the model. how: several LoRAs are joined on a
    weight. Raises ValueError for what cannot
    be done, before anything is written."""
    stem = file_stem(name)
    if model is None:
        parts, left_out = _from_names(sources, style)
        lines, results = [f"- {line}" for line in left_out], []
        lines.insert(0, "- names as they are in the file; no model was connected")
    else:
        parts, lines, results = baked(sources, style, model, clip, how)
    if not parts:
        raise ValueError("blocks: nothing is left to save; every block or strength is 0, or no key belongs to the "
                         "model.")
    if rank:
        parts, line = made_smaller(parts, rank, _storage(sources))
        lines.insert(0, line)
    tensors = {key: tensor for part in parts for key, tensor in part.tensors(style).items()}
    about = file_metadata(sources, stem, style, rank, tensors, metadata, how)
    if stale := not_taken(metadata, sources):
        lines.append(f"- not taken from metadata, because it is true of another file or worked out anew: "
                     f"{', '.join(stale)}")
    loads = partial(check_loads, model=model and model.model, encoders=clip and clip.cond_stage_model)
    path = write_new(stem, tensors, about, loads)
    return Saved(path, "\n".join([_headline(path, parts, tensors), *lines]), results[-1] if results else None, results)


def made_smaller(parts: Sequence[SavedPatch], rank: int, dtype: torch.dtype) -> tuple[list[SavedPatch], str]:
    """The parts with at most this rank, and how much of the change that keeps. Stops at Cancel."""
    total, kept, small = 0.0, 0.0, []
    bar = comfy.utils.ProgressBar(len(parts))
    for part in parts:
        done = resized(part.patch, rank, part.weight, dtype)
        total, kept = total + done.total, kept + done.kept
        small.append(part._replace(patch=done.patch))
        bar.update(1)
    share = kept / total if total else 1.0
    return small, f"- rank at most {rank}: {share:.2%} of the change is kept (squared norm)"


def baked(sources: Sequence[Source], style: str, model, clip,
          how: Combination = ADDED) -> tuple[list[SavedPatch], list[str], list[ApplyResult]]:
    """The parts named for a model, what the report says of each source, and what became of it."""
    names = model_names(model.model, style, clip and clip.cond_stage_model)
    by_key, parts, lines, results = {}, [], [], []
    for source in sources:
        try:
            result = dry_run(model, clip, source.lora, source.strength_model, source.strength_clip,
                              parse(source.blocks), source.settings)
        except ValueError as error:
            raise ValueError(f"{source.label}: {error}") from None
        results.append(result)
        for component, patcher in zip(result.components, (model, clip and clip.patcher), strict=False):
            _collect(by_key, component, patcher, source)
        encoders, carried = ([], ()) if clip else _encoders_alone(source, result.unused, style, sources)
        parts += encoders
        lost = apply_report.unused(result._replace(
            unused=[key for key in result.unused if key not in carried],
            reasons={key: reason for key, reason in result.reasons.items() if key not in carried}))
        said = [*source.lora.notes, *apply_report.unreached(result)]
        said += _settings_of_the_host(change.patch for c in result.components for change in c.applied())
        said += [line for component in result.components for line in apply_report.left_out(component)]
        lines += [f"- {source.label}: {line}" for line in said + lost]
    bar = comfy.utils.ProgressBar(max(len(by_key), 1))
    for key, (patcher, layers) in by_key.items():
        parts += bake(key, _joined(key, list(layers.values()), how), names, partial(own_lazily, patcher))
        bar.update(1)
    return parts, lines, results


def _collect(by_key: dict, component: Component, patcher, source: Source) -> None:
    for change in component.applied():
        if is_config(change.patch):
            continue
        key, offset, function = ((change.target, None, None) if isinstance(change.target, str)
                                 else (*change.target, None, None)[:3])
        piece = WeightedPatch(change.patch, component.strength * change.ratio, offset, function)
        by_key.setdefault(key, (patcher, {}))[1].setdefault(id(source), []).append(piece)


def _joined(key: str, layers: Sequence[Sequence[WeightedPatch]], how: Combination) -> list[WeightedPatch]:
    """The pieces of all LoRAs on one weight: side by side, or the one that a rule makes of several LoRAs."""
    if how.method == SUM or len(layers) < 2:
        return [piece for layer in layers for piece in layer]
    rows = [[(change, patch, kept, piece.offset, piece.function) for piece in layer
             for patch, change, kept in [as_linear(piece.patch, piece.strength)]] for layer in layers]
    return [WeightedPatch(combined(how, key, rows), 1.0)]


def _settings_of_the_host(patches: Iterable) -> list[str]:
    count = sum(map(is_config, patches))
    return [f"not saved, settings that ComfyUI hands to weights and that change none: {count}"] if count else []


def _from_names(sources: Sequence[Source], style: str) -> tuple[list[SavedPatch], list[str]]:
    if len(sources) > 1:
        raise ValueError("model: connect the model to merge several LoRAs. Files call the same weight by different "
                         "names, and only the model tells which.")
    source = sources[0]
    try:
        check_finite(strength_model=source.strength_model, strength_clip=source.strength_clip, a=source.settings.a,
                     b=source.settings.b)
    except ValueError as error:
        raise ValueError(f"{source.label}: {error}") from None
    tensors = converted(source.lora.tensors, source.lora.implied)
    patches = tracked_patches(tensors)
    left_out = [*source.lora.notes, *_settings_of_the_host(patches.values()),
                *apply_report.not_used(tensors.lost, unread_keys(tensors))]
    return _named_parts(source, patches, style, "model"), left_out


def _encoders_alone(source: Source, unused: Iterable[str], style: str,
                    sources: Sequence[Source]) -> tuple[list[SavedPatch], Collection[str]]:
    """The text encoders of a LoRA when there is a model and no CLIP: they keep their names. And the keys of `unused`
    that are in these parts."""
    keys = [key for key in (*unused, *source.lora.implied)
            if key.startswith(apply_report.ENCODER_NAMES) and key in source.lora.tensors]
    if not keys or not source.strength_clip:
        return [], ()
    tensors = converted({key: source.lora.tensors[key] for key in keys})
    parts = _named_parts(source, tracked_patches(tensors), style, "clip")
    if parts and len(sources) > 1:
        raise ValueError(f"clip: connect the CLIP to merge several LoRAs. {source.label} changes text encoders; "
                         "without the CLIP only a strength_clip of 0 leaves them out.")
    return parts, tensors.read.difference(*tensors.lost.values())


def _named_parts(source: Source, patches: Mapping[str, object], style: str, missing: str) -> list[SavedPatch]:
    """The parts of a LoRA under the names it has."""
    places = file_places(patches)
    spec = parse(source.blocks)
    if source.settings.vector_mode == "inspire" and any(isinstance(item, Vector | InspirePercent) for item in spec):
        raise ValueError(f"{missing}: connect the {missing} to save {source.label}. Its blocks are a vector that "
                         "vector_mode inspire reads, and what that means follows from the model.")
    if missing == "clip":
        spec = encoder_part(spec, places)
    try:
        weights = resolve(spec, places.values(), any(p.alias.startswith("TE.") for p in places.values()),
                          source.settings)
    except ValueError as error:
        raise ValueError(f"{error}. Without a model these are the blocks that the names in the file spell "
                         "out.") from None
    parts = []
    for target, patch in patches.items():
        place = places.get(target)
        ratio = weights.ratio(place) if place else weights.default
        encoder = place is not None and place.alias.startswith("TE.")
        strength = ratio * (source.strength_clip if encoder else source.strength_model)
        if strength and not is_config(patch):
            kept = merge_patches([WeightedPatch(without_tucker_core(patch), strength)], None)
            parts.append(under_its_name(target, kept, style, missing))
    return parts


def under_its_name(target: str, patch, style: str, missing: str) -> SavedPatch:
    """A patch of file_patches as a part of a file of this format. Raises ValueError, which names the input `missing`,
    where its name is one of another format."""
    stem, _, kind = target.rpartition(".")
    if format_of(stem) != style:
        raise ValueError(f"{missing}: connect the {missing} to save as {style}. Without it names stay as they are, and "
                         f"{stem} is a name of {format_of(stem)}.")
    return SavedPatch(stem, patch, None, ".diff_b" if kind == "bias" else "")


def _storage(sources: Sequence[Source]) -> torch.dtype:
    """What resized factors are stored in: half precision when every source is."""
    matrices = [t for source in sources for t in source.lora.tensors.values()
                if t.ndim > 1 and t.is_floating_point()]
    return torch.float16 if matrices and all(t.dtype.itemsize <= 2 for t in matrices) else torch.float32


def _headline(path: Path, parts: Sequence[SavedPatch], tensors: dict[str, Tensor]) -> str:
    kinds = Counter(part.patch[0] if isinstance(part.patch, tuple) else part.patch.name for part in parts)
    words = {"diff": "full difference", "set": "replaced weight"}
    counts = ", ".join(f"{count} {words.get(kind, kind)}" for kind, count in kinds.items())
    size = sum(t.numel() * t.element_size() for t in tensors.values()) / 1e6
    return f"Saved {path.name}: {counts}; {len(tensors)} keys, {size:.1f} MB."

