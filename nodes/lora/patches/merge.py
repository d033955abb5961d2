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

from .energy import needs_weight
from .linear import as_linear

ALPHA = {LoRAAdapter: 2, LoHaAdapter: 2, LoKrAdapter: 2, GLoRAAdapter: 4}


class Piece(NamedTuple):
    """A patch on a weight, or on a slice of it, with the strength it has."""
    patch: object
    strength: float
    offset: tuple[int, int, int] | None = None
    function: Callable[[Tensor], Tensor] | None = None


def joined(pieces: Sequence[Piece], weight: Callable[[], Tensor] | None):
    """One patch of strength 1 with the effect of all pieces, which are for the same weight or slice and have no offset.

    weight: gives the weight, for what depends on it. Raises ValueError when it is needed and None."""
    pieces = [_unturned(piece) for piece in pieces]
    if any(piece.function for piece in pieces):
        return formed(pieces, weight)
    if len(pieces) == 1 and (kept := scaled(*pieces[0][:2])) is not None:
        return kept
    factors = [plain(piece.patch) for piece in pieces]
    if all(factors):
        return _side_by_side(factors, [piece.strength for piece in pieces])
    return formed(pieces, weight)


def scaled(patch, strength: float):
    """The patch with its strength in it, in its own format; None where the format cannot carry it."""
    if strength == 1:
        return patch
    if isinstance(patch, tuple):
        return ("diff", (patch[1][0].float() * strength,)) if patch[0] == "diff" else None
    if type(patch) not in ALPHA or needs_weight(patch) and _has_dora(patch):
        return None
    parts, place = list(patch.weights), ALPHA[type(patch)]
    rank = _rank(patch)
    if rank is None:
        parts[0] = parts[0].float() * strength  # a LoKr of whole factors has no alpha
    else:
        parts[place] = (rank if parts[place] is None else parts[place]) * strength
    return type(patch)(patch.loaded_keys, tuple(parts))


def _has_dora(patch) -> bool:
    return not isinstance(patch, GLoRAAdapter) or patch.weights[5] is not None


def _rank(patch) -> int | None:
    """What the host divides alpha by."""
    w = patch.weights
    if isinstance(patch, GLoRAAdapter):
        new = w[3].shape[0] == w[2].shape[1] == w[0].shape[1] == w[1].shape[0]
        return w[1].shape[0] if new else w[0].shape[0]
    if isinstance(patch, LoKrAdapter):
        return w[6].shape[0] if w[1] is None else w[4].shape[0] if w[0] is None else None
    return w[1].shape[0]


def plain(patch) -> tuple[Tensor, Tensor, float] | None:
    """(up [out, r], down [r, in, ...], alpha / rank) of a LoRA without DoRA or reshape, with a Tucker core in down."""
    if not isinstance(patch, LoRAAdapter) or patch.weights[4] is not None or patch.weights[5] is not None:
        return None
    up, down, alpha, mid = patch.weights[:4]
    scale = 1.0 if alpha is None else alpha / down.shape[0]
    if mid is not None:
        down = torch.einsum("mn...,nj->mj...", mid.float(), down.float().flatten(1))
    return up.flatten(1), down, scale


def _side_by_side(factors: Sequence[tuple[Tensor, Tensor, float]], strengths: Sequence[float]) -> LoRAAdapter:
    """[s_1 up_1 | s_2 up_2 | ...] @ [down_1; down_2; ...]"""
    ups = [up.float() * (scale * strength) for (up, _, scale), strength in zip(factors, strengths, strict=True)]
    downs = [down for _, down, _ in factors]
    shape = max((down.shape[1:] for down in downs), key=len)
    same = len({down.dtype for down in downs}) == 1
    down = torch.cat([(d if same else d.float()).reshape(len(d), *shape) for d in downs], 0)
    up = torch.cat(ups, 1)
    return LoRAAdapter(set(), (up.reshape(*up.shape, *[1] * (len(shape) - 1)), down, None, None, None, None))


def formed(pieces: Sequence[Piece], weight: Callable[[], Tensor] | None):
    """The difference that the pieces make together, or the new weight where one of them replaces it: float32."""
    if any(isinstance(p.patch, LoRAAdapter) and p.patch.weights[5] is not None for p in pieces):
        raise ValueError("stack: a LoRA that enlarges a weight (reshape_weight) can be saved alone, but not be merged, "
                         "resized or given other names.")
    if weight is None:
        raise ValueError("model: connect the model. The change of a DoRA, GLoRA, OFT, BOFT or set_weight at another "
                         "strength, and that of several formats on one weight, follows from the model's weights.")
    before = weight().to("cpu", torch.float32)
    replaced = any(isinstance(p.patch, tuple) and p.patch[0] == "set" for p in pieces)
    if not any(needs_weight(p.patch) for p in pieces):
        before = torch.zeros_like(before)
    rows = [(change, patch, kept, p.offset, p.function)
            for p in pieces for patch, change, kept in [as_linear(p.patch, p.strength)]]
    after = comfy.lora.calculate_weight(rows, before.clone(), "weight")
    return ("set", (after,)) if replaced else ("diff", (after - before,))


def _unturned(piece: Piece) -> Piece:
    """A piece whose function (the host swaps halves of some weights) is already in its rows, where that can be."""
    if not piece.function:
        return piece
    if isinstance(piece.patch, tuple) and piece.patch[0] == "diff":
        return piece._replace(patch=("diff", (piece.function(piece.patch[1][0]),)), function=None)
    if plain(piece.patch):
        up, *rest = piece.patch.weights
        return piece._replace(patch=LoRAAdapter(set(), (piece.function(up), *rest)), function=None)
    return piece


def rows_of(patch, offset: tuple[int, int, int] | None, function, weight: Callable[[], Tensor] | None):
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
    return rows_of(formed([Piece(patch, 1.0)], weight), offset, function, weight)


def widened(patch, offset: tuple[int, int, int], rows: int, weight: Callable[[], Tensor] | None):
    """A patch for a slice as one for the whole weight of so many rows: the others do not change.

    weight: gives the slice."""
    def pad(t):
        whole = t.new_zeros(rows, *t.shape[1:])
        whole.narrow(*offset).copy_(t)
        return whole

    if plain(patch):
        up, *rest = patch.weights
        return LoRAAdapter(set(), (pad(up), *rest))
    if isinstance(patch, tuple) and patch[0] == "set":
        if weight is None:
            return formed([Piece(patch, 1.0)], None)
        patch = ("diff", (patch[1][0].float().cpu() - weight().float().cpu(),))
    elif not isinstance(patch, tuple):
        patch = formed([Piece(patch, 1.0)], weight)
    return "diff", (pad(patch[1][0]),)
