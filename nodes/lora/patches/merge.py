"""Patches with strengths turned into patches of strength 1, one a weight, that a file can hold.

Where a format can carry its strength it keeps its form: alpha takes it, or a factor. Several plain LoRAs are joined
along the rank. Everything else becomes the difference it makes, worked out by the host in float32.
"""
from collections.abc import Callable, Sequence
from typing import NamedTuple

import comfy.lora
import torch
from comfy.weight_adapter import GLoRAAdapter, LoHaAdapter, LoKrAdapter, LoRAAdapter
from torch import Tensor

from ...shared.host_capabilities import require
from .adapter_parts import host_key, is_narrowed, part, with_parts
from .combine import CombinedChange
from .energy import needs_weight
from .lazy_weight import shape_of
from .linear_strength import as_linear
from .peft_dora import PeftDora

SCALED_BY_ALPHA = (LoRAAdapter, LoHaAdapter, LoKrAdapter, GLoRAAdapter)


class WeightedPatch(NamedTuple):
    """A patch on a weight, or on a slice of it, with the strength it has."""
    patch: object
    strength: float
    offset: tuple[int, int, int] | None = None
    function: Callable[[Tensor], Tensor] | None = None


def merge_patches(pieces: Sequence[WeightedPatch], weight: Callable[[], Tensor] | None):
    """One patch of strength 1 with the effect of all pieces, which are for the same weight or slice and have no offset.

    weight: gives the weight, for what depends on it. Raises ValueError when it is needed and None."""
    pieces = [_function_applied(piece) for piece in pieces]
    if any(piece.function for piece in pieces):
        return as_difference(pieces, weight)
    if len(pieces) == 1 and (kept := with_strength(*pieces[0][:2])) is not None:
        return kept
    factors = [plain_factors(piece.patch) for piece in pieces]
    if all(factors):
        return _side_by_side(factors, [piece.strength for piece in pieces])
    return as_difference(pieces, weight)


def with_strength(patch, strength: float):
    """The patch with its strength in it, in its own format; None where the format cannot carry it."""
    if type(patch) in (PeftDora, CombinedChange) or is_narrowed(patch):
        return None  # a file has no form for it that every host reads
    if strength == 1:
        return patch
    if isinstance(patch, tuple):
        return ("diff", (patch[1][0].float() * strength,)) if patch[0] == "diff" else None
    if type(patch) not in SCALED_BY_ALPHA or part(patch, "dora_scale") is not None:
        return None
    rank, alpha = _rank(patch), part(patch, "alpha")
    if rank is None:  # a LoKr of whole factors has no alpha
        return with_parts(patch, w1=part(patch, "w1").float() * strength)
    return with_parts(patch, alpha=(rank if alpha is None else alpha) * strength)


def _rank(patch) -> int | None:
    """What the host divides alpha by."""
    w = patch.weights
    if isinstance(patch, GLoRAAdapter):
        new = w[3].shape[0] == w[2].shape[1] == w[0].shape[1] == w[1].shape[0]
        return w[1].shape[0] if new else w[0].shape[0]
    if isinstance(patch, LoKrAdapter):
        return w[6].shape[0] if w[1] is None else w[4].shape[0] if w[0] is None else None
    return w[1].shape[0]


def plain_factors(patch) -> tuple[Tensor, Tensor, float] | None:
    """(up [out, r], down [r, in, ...], alpha / rank) of a LoRA without DoRA or reshape, with a Tucker core in down."""
    if not isinstance(patch, LoRAAdapter) or part(patch, "dora_scale") is not None or _enlarges(patch):
        return None
    up, down, alpha, mid = (part(patch, name) for name in ("up", "down", "alpha", "mid"))
    scale = 1.0 if alpha is None else alpha / down.shape[0]
    if mid is not None:
        down = torch.einsum("mn...,nj->mj...", mid.float(), down.float().flatten(1))
    return up.flatten(1), down, scale


def _enlarges(patch) -> bool:
    return part(patch, "reshape") is not None


def _side_by_side(factors: Sequence[tuple[Tensor, Tensor, float]], strengths: Sequence[float]) -> LoRAAdapter:
    """[s_1 up_1 | s_2 up_2 | ...] @ [down_1; down_2; ...]"""
    ups = [up.float() * (scale * strength) for (up, _, scale), strength in zip(factors, strengths, strict=True)]
    downs = [down for _, down, _ in factors]
    shape = max((down.shape[1:] for down in downs), key=len)
    same = len({down.dtype for down in downs}) == 1
    down = torch.cat([(d if same else d.float()).reshape(len(d), *shape) for d in downs], 0)
    up = torch.cat(ups, 1)
    return LoRAAdapter(set(), (up.reshape(*up.shape, *[1] * (len(shape) - 1)), down, None, None, None, None))


def as_difference(pieces: Sequence[WeightedPatch], weight: Callable[[], Tensor] | None):
    """The difference that the pieces make together, or the new weight where one of them replaces it: float32."""
    if any(_enlarges(p.patch) for p in pieces):
        raise ValueError("stack: a LoRA that enlarges a weight (reshape_weight) can be saved alone, but not be merged, "
                         "resized or given other names.")
    if weight is None:
        raise ValueError("model: connect the model. The change of a DoRA, GLoRA, OFT, BOFT or set_weight at another "
                         "strength, and that of several formats on one weight, follows from the model's weights.")
    require("patches")
    replaced = any(isinstance(p.patch, tuple) and p.patch[0] == "set" for p in pieces)
    depends = any(needs_weight(p.patch) for p in pieces)
    before = weight().to("cpu", torch.float32) if depends else torch.zeros(shape_of(weight))
    rows = [(change, patch, kept, p.offset, p.function)
            for p in pieces for patch, change, kept in [as_linear(p.patch, p.strength)]]
    key = next((name for p in pieces if (name := host_key(p.patch, ""))), "weight")
    after = comfy.lora.calculate_weight(rows, before.clone(), key)
    return ("set", (after,)) if replaced else ("diff", (after - before,))


def _function_applied(piece: WeightedPatch) -> WeightedPatch:
    """A piece whose function (the host swaps halves of some weights) is already in its rows, where that can be."""
    if not piece.function:
        return piece
    if isinstance(piece.patch, tuple) and piece.patch[0] == "diff":
        return piece._replace(patch=("diff", (piece.function(piece.patch[1][0]),)), function=None)
    if plain_factors(piece.patch):
        up, *rest = piece.patch.weights
        return piece._replace(patch=LoRAAdapter(set(), (piece.function(up), *rest)), function=None)
    return piece


def patch_rows(patch, offset: tuple[int, int, int] | None, function, weight: Callable[[], Tensor] | None):
    """The part of a patch that is for some rows of its weight, reordered by function.

    The host reorders changes, but neither DoRA scales nor what replaces a weight."""
    if offset is None and function is None:
        return patch
    rows = lambda t: t.narrow(*offset) if offset else t
    cut = lambda t: function(rows(t)) if function else rows(t)
    if isinstance(patch, tuple):
        return patch[0], ((cut if patch[0] == "diff" else rows)(patch[1][0]),)
    w = patch.weights
    if isinstance(patch, LoRAAdapter) and w[5] is None and (w[4] is None or w[4].shape[0] == w[0].shape[0]):
        dora = None if w[4] is None else rows(w[4])
        return LoRAAdapter(set(), (cut(w[0]), *w[1:4], dora, None))
    if isinstance(patch, LoHaAdapter) and w[5] is None and w[7] is None:
        return LoHaAdapter(set(), (cut(w[0]), w[1], w[2], cut(w[3]), *w[4:]))
    return patch_rows(as_difference([WeightedPatch(patch, 1.0)], weight), offset, function, weight)


def padded_to_weight(patch, offset: tuple[int, int, int], rows: int, weight: Callable[[], Tensor] | None):
    """A patch for a slice as one for the whole weight of so many rows: the others do not change.

    weight: gives the slice."""
    def pad(t):
        whole = t.new_zeros(rows, *t.shape[1:])
        whole.narrow(*offset).copy_(t)
        return whole

    if plain_factors(patch):
        up, *rest = patch.weights
        return LoRAAdapter(set(), (pad(up), *rest))
    if isinstance(patch, tuple) and patch[0] == "set":
        if weight is None:
            return as_difference([WeightedPatch(patch, 1.0)], None)
        patch = ("diff", (patch[1][0].float().cpu() - weight().float().cpu(),))
    elif not isinstance(patch, tuple):
        patch = as_difference([WeightedPatch(patch, 1.0)], weight)
    return "diff", (pad(patch[1][0]),)
