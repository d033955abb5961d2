"""How much a LoRA changes: the Frobenius norm of the change that each of its patches makes to a weight.

A patch is what comfy.lora.load_lora gives: an adapter of the host, or ("diff", tensors) or ("set", tensors). The norm
is that of strength 1, with alpha, rank and DoRA scale in it. Plain low-rank products are never formed: with U [out, r]
and D [r, in], |U D|^2 = sum((U^T U) * (D D^T)).
"""
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import comfy.lora
import torch
from comfy import weight_adapter
from comfy.model_patcher import get_key_weight
from torch import Tensor

from ..model.unsupported_models import is_readable
from .adapter_parts import host_key, is_config, is_narrowed, part


class Energy(NamedTuple):
    """What a LoRA does to one block: the norm of its whole change, and the number of weights it changes there."""
    norm: float
    weights: int
    unknown: int
    """How many of these weights are not in the norm, because only the model's own weight would tell."""


def block_energies(changes: Iterable[tuple[str, object, Callable[[], Tensor] | None]]) -> dict[str, Energy]:
    """The energy of every block, from (block, patch, function that gives the weight it changes, or None)."""
    squares, counts, unknown = {}, {}, {}
    for block, patch, weight in changes:
        norm = change_norm(patch, weight)
        counts[block] = counts.get(block, 0) + 1
        unknown[block] = unknown.get(block, 0) + (norm is None)
        squares[block] = squares.get(block, 0.0) + (norm or 0.0) ** 2
    return {block: Energy(math.sqrt(squares[block]), counts[block], unknown[block]) for block in counts}


def change_norm(patch, weight: Callable[[], Tensor | None] | None = None) -> float | None:
    """Frobenius norm of the change that a patch makes at strength 1.

    weight: gives the weight the patch is for, or the slice of it; called only where the change depends on it (DoRA,
    GLoRA, OFT, BOFT, set). Without it their norm is None."""
    if is_config(patch):
        return 0.0
    if isinstance(patch, tuple):
        if patch[0] != "set":
            return _norm(patch[1][0])
    elif not needs_weight(patch):
        return _NORMS[type(patch)](patch.weights)
    before = weight and weight()
    return None if before is None else _norm(change(patch, before))


def change(patch, weight: Tensor) -> Tensor:
    """What the host adds to a weight for a patch at strength 1: float32, in the shape of the weight."""
    before = weight.to(torch.float32)
    whole = comfy.lora.calculate_weight([(1.0, patch, 1.0, None, None)], before.clone(), host_key(patch))
    return whole - before if whole.shape == before.shape else whole - _padded(before, whole.shape)


def own_weight(patcher, target: str | tuple) -> Tensor | None:
    """The weight of a ModelPatcher's model, or the slice of it, that a target of comfy.lora.load_lora names.

    Without any patch, also while the host keeps the model in memory with patches in its weights. As model_weight."""
    return model_weight(patcher.model, target, backed_up(patcher, target if isinstance(target, str) else target[0]))


def backed_up(patcher, key: str) -> Tensor | None:
    """The weight as it was, where the host keeps the model in memory with patches in this one."""
    kept = patcher.backup.get(key) or patcher.hook_backup.get(key)
    return kept[0] if kept else None


def readable_weight(patcher, target: str | tuple) -> Tensor:
    """`own_weight`. Raises ValueError where only another pack can unpack it."""
    weight = own_weight(patcher, target)
    if weight is None:
        name = target if isinstance(target, str) else target[0]
        raise ValueError(f"model: expected weights that the host can read, which this LoRA's change depends on, got "
                         f"{name} as another pack packs it; connect the model in a format of the host")
    return weight


def model_weight(module: torch.nn.Module, target: str | tuple, own: Tensor | None = None) -> Tensor | None:
    """The weight of a model, or the slice of it, that a target names, as it is now; unpacked if quantised.

    own: stands for what is there now. None where only another pack can unpack it."""
    key, offset = (target, None) if isinstance(target, str) else target[:2]
    weight, _, convert = get_key_weight(module, key)
    weight = weight if own is None else own
    if not is_readable(weight):
        return None
    weight = convert(weight, inplace=False) if convert else weight
    return weight.narrow(*offset) if offset else weight


def as_streamed(layer: torch.nn.Module, name: str, tensor: Tensor) -> Tensor:
    """A layer's weight or bias (name) as its forward uses it: with the patches that the host works out only while it
    streams the layer to the device. tensor: what the layer holds, unpacked; comes back itself where there are none."""
    streamed = getattr(layer, f"{name}_lowvram_function", None)     # under dynamic VRAM
    functions = [each for each in (streamed, *getattr(layer, f"{name}_function", ())) if each]
    for function in functions:
        tensor = function(tensor.to(torch.float32, copy=True))      # patches write into what they get
    return tensor


def needs_weight(patch) -> bool:
    """Whether the change that a patch makes depends on the weight."""
    if isinstance(patch, tuple):
        return patch[0] == "set"
    if type(patch) not in _NORMS:
        return getattr(patch, "needs_weight", True)
    return part(patch, "dora_scale") is not None or is_narrowed(patch)


def _padded(weight: Tensor, shape: Iterable[int]) -> Tensor:
    return comfy.lora.pad_tensor_to_shape(weight, list(shape))


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor.to("cpu", torch.float32), dtype=torch.float64))


def _flat(matrix: Tensor) -> Tensor:
    return matrix.to("cpu", torch.float64).flatten(start_dim=1)


def _product_norm(up: Tensor, down: Tensor) -> float:
    up, down = _flat(up), _flat(down)
    return math.sqrt(max(0.0, float(((up.T @ up) * (down @ down.T)).sum())))


def _scale(alpha: float | None, rank: int) -> float:
    return 1.0 if alpha is None else abs(alpha) / rank


def _lora(weights) -> float:
    up, down, alpha, mid = weights[:4]
    inner = down if mid is None else torch.einsum("mn...,nj->mj...", mid.to("cpu", torch.float64), _flat(down))
    return _scale(alpha, down.shape[0]) * _product_norm(up, inner)


def _loha(weights) -> float:
    w1_a, w1_b, alpha, w2_a, w2_b, t1, t2 = (w.float().cpu() if isinstance(w, Tensor) else w for w in weights[:7])
    first = w1_a @ w1_b if t1 is None else _tucker(t1, w1_b, w1_a)
    second = w2_a @ w2_b if t1 is None else _tucker(t2, w2_b, w2_a)
    return _scale(alpha, w1_b.shape[0]) * _norm(first * second)


def _lokr(weights) -> float:
    """|A kron B| = |A| |B|."""
    w1, w2, alpha, w1_a, w1_b, w2_a, w2_b, t2 = weights[:8]
    first = _norm(w1) if w1 is not None else _product_norm(w1_a, w1_b)
    if w2 is not None:
        second = _norm(w2)
    else:
        second = _product_norm(w2_a, w2_b) if t2 is None else _norm(_tucker(t2.float(), w2_b.float(), w2_a.float()))
    rank = w2_b.shape[0] if w2 is None else w1_b.shape[0] if w1 is None else None
    return (1.0 if rank is None else _scale(alpha, rank)) * first * second


def _tucker(core: Tensor, into: Tensor, out: Tensor) -> Tensor:
    return torch.einsum("ij...,jr,ip->pr...", core, into, out)


_NORMS = {weight_adapter.LoRAAdapter: _lora, weight_adapter.LoHaAdapter: _loha, weight_adapter.LoKrAdapter: _lokr}
