"""One LoRA out of the checkpoints of a training, each with a weight."""
from collections.abc import Iterator, Sequence

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ...lora.file.blocks_from_names import file_patches, tracked_patches
from ...lora.file.loading import converted
from ...lora.file.lora_files import LoraFile
from ...lora.patches.merge import WeightedPatch, merge_patches, plain_factors
from ...lora.saving.baking import SavedPatch
from ...lora.saving.export_names import format_of
from ...lora.saving.save_lora import baked, made_smaller, under_its_name
from ...lora.saving.saved_metadata import Source
from ...shared.text_syntax import shorten
from .snapshots import Snapshot

FORMAT = "comfy"


def read(snapshots: Sequence[Snapshot]) -> list[LoraFile]:
    """Every snapshot's file. Raises ValueError for files that are not of one training: they hold other tensors.

    Honours Cancel between files."""
    bar = comfy.utils.ProgressBar(len(snapshots))
    files = []
    for snapshot in snapshots:
        comfy.model_management.throw_exception_if_processing_interrupted()
        files.append(snapshot.open())
        if odd := next(iter(files[0].tensors.keys() ^ files[-1].tensors.keys()), None):
            raise ValueError(f"loras: expected checkpoints of one training, got {shorten(snapshots[0].name)} and "
                             f"{shorten(snapshot.name)}, of which one alone has {shorten(odd)}.")
        bar.update(1)
    return files


def of_factors(files: Sequence[LoraFile], weights: Sequence[float]) -> dict[str, Tensor]:
    """The average of every tensor by itself, in float32: what an average kept while training holds.

    Raises ValueError for tensors of different shapes, or alphas that are not the same."""
    found = {}
    for key, first in files[0].tensors.items():
        tensors = [file.tensors[key] for file in files]
        fixed = first.ndim == 0 or not first.is_floating_point()
        if any(each.shape != first.shape or fixed and not torch.equal(each, first) for each in tensors):
            raise ValueError("loras: expected checkpoints of one training, got files that differ in the size of "
                             f"{shorten(key)}.")
        found[key] = first.clone() if fixed else sum(
            each.to("cpu", torch.float64) * weight for each, weight in zip(tensors, weights, strict=True)).float()
    return found


def of_changes(files: Sequence[LoraFile], names: Sequence[str], weights: Sequence[float], model=None,
               clip=None) -> tuple[list[SavedPatch], list[str]]:
    """The average of what the files change, and what is to be told of it: factors stand side by side, so a rank becomes
    the sum of theirs.

    Raises ValueError where that follows from the model alone, and model is None."""
    if model is None:
        return list(_by_name(files, weights)), []
    sources = [Source(name, file, weight, weight, "") for name, file, weight in zip(names, files, weights, strict=True)]
    parts, lines, _ = baked(sources, FORMAT, model, clip)
    return parts, list(dict.fromkeys(lines))


def _by_name(files: Sequence[LoraFile], weights: Sequence[float]) -> Iterator[SavedPatch]:
    every = [_whole_patches(file) for file in files]
    for target in every[0]:
        patches = [patches[target] for patches in every]
        pieces = [WeightedPatch(patch, weight) for patch, weight in zip(patches, weights, strict=True)]
        if all(isinstance(patch, tuple) and patch[0] == "diff" for patch in patches):
            joined = merge_patches(pieces, lambda patch=patches[0]: torch.zeros_like(patch[1][0], device="cpu"))
        elif all(map(plain_factors, patches)):
            joined = merge_patches(pieces, None)
        else:
            raise ValueError("model: connect the model. The average of the changes follows from the factors alone for "
                             f"plain LoRAs only, and {shorten(target)} has none.")
        yield under_its_name(target, joined, format_of(target.rpartition(".")[0]), "model")


def _whole_patches(file: LoraFile) -> dict[str, object]:
    patches = tracked_patches(tensors := converted(file.tensors))
    if lost := next(iter(tensors.lost.items()), None):
        raise ValueError(f"loras: expected checkpoints of which everything can be used, got {shorten(lost[1][0])}: "
                         f"{lost[0]}.")
    return patches


def tensors_of(parts: Sequence[SavedPatch]) -> dict[str, Tensor]:
    """The parts as a LoRA in memory, each under the name that it has."""
    return {key: tensor for part in parts for key, tensor in part.tensors(format_of(part.name)).items()}


def at_rank(parts: Sequence[SavedPatch], rank: int) -> tuple[list[SavedPatch], str]:
    """The parts with at most this rank, in float32, and a line that says how much of the change that keeps."""
    return made_smaller(parts, rank, torch.float32)


def parts_of(tensors: dict[str, Tensor]) -> list[SavedPatch]:
    """A LoRA in memory as parts, each under the name that it has."""
    return [under_its_name(target, patch, format_of(target.rpartition(".")[0]), "model")
            for target, patch in file_patches(tensors).items()]
