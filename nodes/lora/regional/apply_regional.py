"""A LoRA put on a part of the picture: beside the layers, weighted by a mask at the tokens of each."""
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import comfy.utils
import torch
from comfy.patcher_extension import PatcherInjection, WrappersMP
from torch import Tensor

from ...shared.host_capabilities import require
from ..applying.apply_report import why_none
from ..applying.bypass import branches_of, divide, lay_down, set_branches, split, told_moved
from ..applying.patching import ApplyResult, dry_run
from ..applying.stack import entries
from ..block_weights.block_language import NAMED, Settings
from ..block_weights.finite_inputs import check_finite
from ..file.lora_files import LoraFile
from ..patches.branch import Branch
from .regional_branch import RegionalBranch
from .regional_cross_attention import RegionalCrossAttention
from .regions import Region, Regions
from .token_streams import CROSS, SHARED, WORDS, Family, cross_attentions, family_of, stream_of

KEY = "bottega_regional"
PREFIX = "diffusion_model."
ROUNDING = 1e-3     # of 0 to 1, as Critique Image has it: a blurred or scaled mask is a little above 1
REASONS = {SHARED: "they act on the whole picture at once: time, modulation, pooled words",
           WORDS: "they act on the words alone"}


class Chosen(NamedTuple):
    """What of a LoRA works in a region: branches by the key of their weight, and why the rest does not."""
    branches: dict[str, list[Branch]]
    left_out: Mapping[str, int]


def apply_regional(model, lora: LoraFile, mask: Tensor, strength: float, spec, settings: Settings = NAMED,
                   words: Tensor | None = None, name: str = "LoRA") -> tuple:
    """A clone of model with the LoRA where the mask is, behind its other regions, and the ApplyResult.

    mask: [rows, columns] or [masks, rows, columns], 0 to 1. words: [1, tokens, width], read inside the mask instead of
    the prompt. At strength 0 without words the model comes back as it is. Raises ValueError with one sentence for a
    family whose tokens are not known, a mask that is none and a LoRA that reaches no weight."""
    require("calls of the model")
    check_finite(strength=strength)
    family, mask = family_of(model.model.diffusion_model), checked_mask(mask)
    check_words(words, family)
    result = dry_run(model, None, lora, strength, 1.0, spec, settings)
    chosen = choose(model.model, family, entries(result.components[:1]))
    if strength and not chosen.branches:
        raise ValueError(f"lora_name: expected a LoRA that changes layers of this model with places of the picture, "
                         f"got {name}: {_why_none(result, chosen)}.")
    if not strength and words is None:
        return model, result
    clone = model.clone()
    _put(clone, family, Region(name, mask, words), chosen.branches)
    return clone, result._replace(notes=(*result.notes, told(chosen), *told_moved(model, clone)))


def checked_mask(mask: Tensor) -> Tensor:
    """[masks, rows, columns] float32, 0 to 1. Raises ValueError for anything else, and for numbers that are out of
    range by more than what blurring and scaling round."""
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or not mask.numel():
        raise ValueError(f"mask: expected [masks, rows, columns], got {list(mask.shape)}.")
    mask = mask.detach().float().cpu()
    low, high = float(mask.min()), float(mask.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise ValueError(f"mask: expected numbers from 0 to 1, got {low:.4g} to {high:.4g}.")
    return mask.clamp(0, 1)


def words_of(conditioning) -> Tensor | None:
    """The words of a CONDITIONING. Raises ValueError with one sentence for several prompts in one."""
    if conditioning is None:
        return None
    if len(conditioning) != 1 or conditioning[0][0].ndim != 3:
        raise ValueError("words: expected one prompt from CLIP Text Encode, got a conditioning of "
                         f"{len(conditioning)} prompts.")
    return conditioning[0][0].detach()[:1]


def check_words(words: Tensor | None, family: Family) -> None:
    if words is not None and not family.cross_attention:
        raise ValueError(f"words: expected nothing for {family.title}, where picture and words share one attention; "
                         "give a region its own prompt with Conditioning (Set Mask) and Conditioning (Combine).")


def choose(model: torch.nn.Module, family: Family, rows) -> Chosen:
    """Entries of a LoRA that can work in a region of the picture."""
    divided = divide(model, rows)
    branches, left_out = {}, Counter(divided.reasons)
    for key, row in divided.branches.items():
        stream = stream_of(family, _path(key))
        if stream in REASONS:
            left_out[REASONS[stream]] += len(row)
        else:
            branches[key] = row
    return Chosen(branches, left_out)


def told(chosen: Chosen) -> str:
    """The note of the report: how much works in the region, and what is left out."""
    size = sum(branch.bytes() for row in chosen.branches.values() for branch in row) / 1e6
    text = f"in the region: {len(chosen.branches)} weights by branches of {size:.1f} MB"
    if chosen.left_out:
        text += "; left out: " + ", ".join(f"{count} ({reason})" for reason, count in chosen.left_out.items())
    return text


def _why_none(result: ApplyResult, chosen: Chosen) -> str:
    if chosen.left_out:
        return ", ".join(f"{count} weights are left out, {reason}" for reason, count in chosen.left_out.items())
    changes = result.components[0].changes
    if not changes:
        return "no key of the file belongs to this model"
    return why_none(changes) if any(change.problem for change in changes) else "the weight of every block it has is 0"


def _path(key: str) -> str:
    return key.removeprefix(PREFIX).rpartition(".")[0]


def _put(clone, family: Family, region: Region, branches: dict[str, list[Branch]]) -> None:
    before: Regions | None = clone.attachments.get(KEY)
    ratio = getattr(clone.model.latent_format, "temporal_downscale_ratio", 1)
    earlier = before.regions if before else ()
    regions = Regions([*earlier, region], family, clone.model.diffusion_model, ratio)
    lay_down(clone, ((key, True) for key, row in branches.items() if any(branch.reads_weight for branch in row)))
    members = _members(branches_of(clone))
    for key, row in branches.items():
        members.setdefault(key, []).extend((len(earlier), branch) for branch in row)
    plain = {key: split(row)[0] for key, row in branches_of(clone).items()}
    regional = {key: [RegionalBranch(regions, stream_of(family, _path(key)), row)] for key, row in members.items()}
    set_branches(clone, {key: plain.get(key, []) + regional.get(key, []) for key in {**plain, **regional}})
    _tell(clone, regions, members)


def _members(branches) -> dict[str, list[tuple[int, Branch]]]:
    return {key: list(each.members) for key, row in branches.items() for each in row
            if isinstance(each, RegionalBranch)}


def _tell(clone, regions: Regions, members) -> None:
    """Has the model tell its regions of each call, and lets them read their words."""
    for kind, wrapper in ((WrappersMP.CALC_COND_BATCH, regions.calc_cond_batch),
                          (WrappersMP.APPLY_MODEL, regions.apply_model)):
        clone.remove_wrappers_with_key(kind, KEY)
        clone.add_wrapper_with_key(kind, KEY, wrapper)
    run = CrossAttentions(regions, _readers(clone.model.diffusion_model, regions, members))
    clone.set_attachments(KEY, regions)
    clone.set_injections(KEY, [PatcherInjection(inject=run.inject, eject=run.eject)])


def _readers(diffusion_model, regions: Regions, members) -> dict[str, list[int]]:
    """The regions that read otherwise, by the path of the cross-attention."""
    found = {path: set(regions.with_words) for path in cross_attentions(regions.family, diffusion_model)}
    for key, row in members.items():
        if stream_of(regions.family, _path(key)) == CROSS:
            found[_path(key).rpartition(".")[0]].update(number for number, _ in row)
    return {path: sorted(numbers) for path, numbers in found.items() if numbers}


class CrossAttentions:
    """The cross-attentions of a model that read by region, while the host has the model loaded."""

    def __init__(self, regions: Regions, readers: dict[str, list[int]]):
        self.regions, self.readers, self._running = regions, readers, {}

    def inject(self, patcher) -> None:
        if patcher.model not in self._running:
            find = lambda path: comfy.utils.get_attr(patcher.model, PREFIX + path)
            self._running[patcher.model] = [RegionalCrossAttention(find(path), self.regions, numbers)
                                            for path, numbers in self.readers.items()]

    def eject(self, patcher) -> None:
        for running in reversed(self._running.pop(patcher.model, [])):
            running.stop()
        self.regions.release()
