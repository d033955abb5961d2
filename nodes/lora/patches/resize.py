"""A change made smaller in rank: the best approximation of a matrix by one of lower rank (Eckart and Young 1936)."""
from collections.abc import Callable
from typing import NamedTuple

import comfy.model_management
import torch
from comfy.weight_adapter import LoRAAdapter
from torch import Tensor

from .merge import WeightedPatch, as_difference, plain_factors

EXACT_SIDE = 1024  # up to this side all singular values are worked out; above it only those that are wanted
SPARE, ROUNDS = 16, 6


class Resized(NamedTuple):
    """A patch, the squared norm of the change that was there, and of what the patch keeps of it."""
    patch: object
    total: float
    kept: float


def resized(patch, rank: int, weight: Callable[[], Tensor] | None, dtype: torch.dtype) -> Resized:
    """The patch as a LoRA of at most this rank. Vectors, and LoRAs that are small already, stay what they are.

    weight: gives the weight, where the change has to be as_difference. Raises ValueError when it is needed and None."""
    factors = plain_factors(patch)
    if factors:
        up, down, scale = factors
        if up.shape[1] <= rank:
            up, down = (factor.to("cpu", torch.float64).flatten(1) for factor in (up, down))   # MPS has no float64
            norm = float((up.T @ up * (down @ down.T)).sum())
            return Resized(patch, norm * scale ** 2, norm * scale ** 2)
        return _as_lora(*_of_product(up, down.flatten(1), scale), down.shape[1:], rank, dtype)
    change = _difference(patch, weight)
    if change.ndim < 2:
        energy = float(change.double().square().sum())
        return Resized(("diff", (change,)), energy, energy)
    return _as_lora(*_of_matrix(change.flatten(1), rank), change.shape[1:], rank, dtype)


def _difference(patch, weight) -> Tensor:
    if isinstance(patch, tuple) and patch[0] == "diff":
        return patch[1][0].float().cpu()
    made = as_difference([WeightedPatch(patch, 1.0)], weight)
    return made[1][0] - weight().float().cpu() if made[0] == "set" else made[1][0]


def _of_product(up: Tensor, down: Tensor, scale: float):
    """Singular value decomposition of scale * up @ down without forming it."""
    up, down = _on_device(up), _on_device(down)
    q_up, r_up = torch.linalg.qr(up)
    q_down, r_down = torch.linalg.qr(down.T)
    u, s, v = torch.linalg.svd(r_up @ r_down.T * scale, full_matrices=False)
    return q_up @ u, s, v @ q_down.T, float(s.double().square().sum())


def _of_matrix(matrix: Tensor, rank: int):
    matrix = _on_device(matrix)
    total = float(matrix.double().square().sum()) if matrix.device.type != "mps" else float(matrix.square().sum())
    if min(matrix.shape) <= EXACT_SIDE or 4 * rank > min(matrix.shape):
        return *torch.linalg.svd(matrix, full_matrices=False), total
    with torch.random.fork_rng([matrix.device] if matrix.is_cuda else []):  # the same file every time
        torch.manual_seed(0)
        u, s, v = torch.svd_lowrank(matrix, q=rank + SPARE, niter=ROUNDS)
    return u, s, v.T, total


def _on_device(matrix: Tensor) -> Tensor:
    device = comfy.model_management.get_torch_device()
    return matrix.to(device if device.type == "cuda" else "cpu", torch.float32)


def _as_lora(u: Tensor, s: Tensor, v: Tensor, total: float, shape, rank: int, dtype: torch.dtype) -> Resized:
    """u * s @ v cut off after `rank` singular values, with the root of each in both factors."""
    s = s[:rank]
    root = s.sqrt()
    up = (u[:, :rank] * root).to("cpu", dtype)
    down = (root[:, None] * v[:rank]).to("cpu", dtype)
    up, down = up.reshape(*up.shape, *[1] * (len(shape) - 1)), down.reshape(len(s), *shape)
    return Resized(LoRAAdapter(set(), (up, down, float(len(s)), None, None, None)), total,
                   float(s.double().square().sum()))
