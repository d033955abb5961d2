"""Patches on one weight, joined and named as a format of LoRA files names them."""
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ..file.loading import read_patches
from ..patches.energy import needs_weight
from ..patches.lazy_weight import LazyWeight, of_module_lazily
from ..patches.merge import WeightedPatch, as_difference, merge_patches, padded_to_weight, patch_rows
from .export_names import Names, host_names, model_names, tensors_of


class SavedPatch(NamedTuple):
    """What the file will hold for one weight or slice: the start of its keys, a patch of strength 1, and the weight."""
    name: str
    patch: object
    weight: Callable[[], Tensor] | None
    ending: str = ""
    """Where it is not empty: the whole key is name + ending, because the weight is a bias."""

    def tensors(self, style: str) -> dict[str, Tensor]:
        """What a file of a format holds for it."""
        if self.ending:
            return {self.name + self.ending: self.patch[1][0]}
        return tensors_of(self.name, self.patch, style)


def renamed(tensors: Mapping[str, Tensor], style: str, module: torch.nn.Module,
            encoders: torch.nn.Module | None = None) -> dict[str, Tensor]:
    """A LoRA that the host maps, under the names of another format; where that has none for a weight, the module path.

    The format's own names for q, k and v of a fused weight are used."""
    names, found = model_names(module, style, encoders), {}
    for key, patch in read_patches(tensors, host_names(module, encoders)).items():
        owner = module if key.startswith("diffusion_model.") else encoders
        for part in bake(key, [WeightedPatch(patch, 1.0)], names, partial(of_module_lazily, owner)):
            found |= part.tensors(style)
    return found


def bake(key: str, pieces: Sequence[WeightedPatch], names: Names,
         weight: Callable[[str | tuple], LazyWeight]) -> list[SavedPatch]:
    """All pieces on one weight as parts under the names of a format. weight: gives the weight or slice of a target."""
    whole = weight(key)
    if _entangled(pieces):
        pieces = [WeightedPatch(as_difference(pieces, whole), 1.0)]
    groups = {}
    for piece in pieces:
        groups.setdefault(piece.offset, []).append(piece._replace(offset=None))
    parts, on_whole = {}, []
    for offset, group in groups.items():
        part_weight = weight((key, offset)) if offset else whole
        patch = merge_patches(group, part_weight)
        named = names.part(key, offset) if offset else None
        if named:
            parts[named.name] = SavedPatch(named.name, patch, part_weight)
        else:
            on_whole.append(patch if not offset else padded_to_weight(patch, offset, whole.shape[0], part_weight))
    if on_whole:
        patch = merge_patches([WeightedPatch(patch, 1.0) for patch in on_whole], whole)
        for part in _whole_parts(key, patch, names, whole):
            if part.name in parts:
                both = [WeightedPatch(p.patch, 1.0) for p in (parts[part.name], part)]
                part = part._replace(patch=merge_patches(both, part.weight))
            parts[part.name] = part
    return list(parts.values())


def _entangled(pieces: Sequence[WeightedPatch]) -> bool:
    """Whether one piece depends on rows of the weight that a piece for other rows changes."""
    spans = {piece.offset for piece in pieces}
    if len(spans) < 2 or not any(needs_weight(piece.patch) for piece in pieces):
        return False
    ordered = sorted((offset[1], offset[1] + offset[2]) for offset in spans if offset)
    return None in spans or any(end > start for (_, end), (start, _) in zip(ordered, ordered[1:], strict=False))


def _whole_parts(key: str, patch, names: Names, weight: LazyWeight) -> list[SavedPatch]:
    if key.endswith(".bias") and (named := names.bias(key)):
        if isinstance(patch, tuple) and patch[0] == "set":
            patch = ("diff", (patch[1][0].float().cpu() - weight().float().cpu(),))
        return [SavedPatch(named[0], patch, weight, named[1])]
    if name := names.whole(key):
        return [SavedPatch(name, patch, weight)]
    if parts := names.parts(key, lambda: weight.shape[0]):
        return [SavedPatch(part.name, patch_rows(patch, part.offset, part.function, weight),
                           weight.rows(part.offset, part.function)) for part in parts]
    return [SavedPatch(names.native(key) or key.removesuffix(".weight"), patch, weight)]
