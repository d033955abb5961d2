"""LoRAs with their strengths and block weights, written as one file that does the same at strength 1."""
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import comfy.utils
import torch
from torch import Tensor

from ..applying import report
from ..applying.patching import Outcome, Side, examine
from ..applying.schedule import encoder_part
from ..block_weights.language import Percent, Vector, parse
from ..block_weights.weights import resolve
from ..file import contents
from ..file.loading import coreless
from ..patches.energy import own_weight
from ..patches.merge import Piece, joined
from ..patches.resize import resized
from .baking import Part, bake
from .export_names import format_of, model_names
from .output import file_stem, write_new
from .proof import check_loads
from .recipe import Source, recipe


class Saved(NamedTuple):
    path: Path
    text: str
    outcome: Outcome | None
    """What the last source changes in the model; None without one."""


def save(sources: Sequence[Source], name: str, style: str, rank: int, metadata: dict[str, str], model=None,
         clip=None) -> Saved:
    """Writes the sources as one LoRA and returns where, with a report.

    style: one of export_names.FORMATS. rank: 0 keeps everything exactly. Without a model a single LoRA keeps the names
    it has, which must be those of the style; merging and other names need the model. Raises ValueError for what cannot
    be done, before anything is written."""
    stem = file_stem(name)
    if model is None:
        parts, outcome = _from_names(sources, style), None
        lines = ["- names as they are in the file; no model was connected"]
    else:
        parts, lines, outcome = _from_model(sources, style, model, clip)
    if not parts:
        raise ValueError("blocks: nothing is left to save; every block or strength is 0, or no key belongs to the "
                         "model.")
    if rank:
        parts, line = _made_smaller(parts, rank, _storage(sources))
        lines.insert(0, line)
    tensors = {key: tensor for part in parts for key, tensor in part.tensors(style).items()}
    about = recipe(sources, stem, style, rank, tensors, metadata)
    loads = partial(check_loads, model=model and model.model, encoders=clip and clip.cond_stage_model)
    path = write_new(stem, tensors, about, loads)
    return Saved(path, "\n".join([_headline(path, parts, tensors), *lines]), outcome)


def _made_smaller(parts: Sequence[Part], rank: int, dtype: torch.dtype) -> tuple[list[Part], str]:
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


def _from_model(sources: Sequence[Source], style: str, model, clip) -> tuple[list[Part], list[str], Outcome]:
    """The parts named for a model, what the report says of each source, and what became of the last."""
    names = model_names(model.model, style, clip and clip.cond_stage_model)
    by_key, parts, lines = {}, [], []
    for source in sources:
        try:
            outcome = examine(model, clip, source.lora, source.strength_model, source.strength_clip,
                              parse(source.blocks), source.settings)
        except ValueError as error:
            raise ValueError(f"{source.label}: {error}") from None
        for side, patcher in zip(outcome.sides, (model, clip and clip.patcher), strict=False):
            _collect(by_key, side, patcher)
        encoders = [] if clip else _encoders_alone(source, outcome.unused, style, sources)
        parts += encoders
        lost = report.unused(outcome) if not encoders else []
        lines += [f"- {source.label}: {line}" for side in outcome.sides for line in report.left_out(side)]
        lines += [f"- {source.label}: {line}" for line in lost]
    bar = comfy.utils.ProgressBar(max(len(by_key), 1))
    for key, (patcher, pieces) in by_key.items():
        parts += bake(key, pieces, names, partial(own_weight, patcher))
        bar.update(1)
    return parts, lines, outcome


def _collect(by_key: dict, side: Side, patcher) -> None:
    for change in side.applied():
        key, offset, function = ((change.target, None, None) if isinstance(change.target, str)
                                 else (*change.target, None, None)[:3])
        piece = Piece(change.patch, side.strength * change.ratio, offset, function)
        by_key.setdefault(key, (patcher, []))[1].append(piece)


def _from_names(sources: Sequence[Source], style: str) -> list[Part]:
    if len(sources) > 1:
        raise ValueError("model: connect the model to merge several LoRAs. Files call the same weight by different "
                         "names, and only the model tells which.")
    return _named_parts(sources[0], sources[0].lora.tensors, style, "model")


def _encoders_alone(source: Source, unused: Iterable[str], style: str, sources: Sequence[Source]) -> list[Part]:
    """The text encoders of a LoRA when there is a model and no CLIP: they keep their names."""
    keys = [key for key in unused if key.startswith((*report.ENCODER_NAMES, "text_encoders."))]
    if not keys or not source.strength_clip:
        return []
    parts = _named_parts(source, {key: source.lora.tensors[key] for key in keys}, style, "clip")
    if parts and len(sources) > 1:
        raise ValueError(f"clip: connect the CLIP to merge several LoRAs. {source.label} changes text encoders; "
                         "without the CLIP only a strength_clip of 0 leaves them out.")
    return parts


def _named_parts(source: Source, tensors: dict[str, Tensor], style: str, missing: str) -> list[Part]:
    """The parts of a LoRA under the names it has."""
    patches = contents.file_patches(tensors)
    places = contents.file_places(patches)
    spec = parse(source.blocks)
    if source.settings.vector_mode == "inspire" and any(isinstance(item, Vector | Percent) for item in spec):
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
        if strength:
            parts.append(_under_its_name(target, joined([Piece(coreless(patch), strength)], None), style, missing))
    return parts


def _under_its_name(target: str, patch, style: str, missing: str) -> Part:
    stem, _, kind = target.rpartition(".")
    if format_of(stem) != style:
        raise ValueError(f"{missing}: connect the {missing} to save as {style}. Without it names stay as they are, and "
                         f"{stem} is a name of {format_of(stem)}.")
    return Part(stem, patch, None, ".diff_b" if kind == "bias" else "")


def _storage(sources: Sequence[Source]) -> torch.dtype:
    """What resized factors are stored in: half precision when every source is."""
    matrices = [t for source in sources for t in source.lora.tensors.values() if t.ndim > 1]
    return torch.float16 if matrices and all(t.dtype.itemsize <= 2 for t in matrices) else torch.float32


def _headline(path: Path, parts: Sequence[Part], tensors: dict[str, Tensor]) -> str:
    kinds = Counter(part.patch[0] if isinstance(part.patch, tuple) else part.patch.name for part in parts)
    words = {"diff": "full difference", "set": "replaced weight"}
    counts = ", ".join(f"{count} {words.get(kind, kind)}" for kind, count in kinds.items())
    size = sum(t.numel() * t.element_size() for t in tensors.values()) / 1e6
    return f"Saved {path.name}: {counts}; {len(tensors)} keys, {size:.1f} MB."

