"""Several plain LoRAs on one weight as a single adapter of the host, side by side along the rank.

sum_i s_i * up_i @ down_i = [s_1 up_1 | s_2 up_2 | ...] @ [down_1; down_2; ...]: one product and one rounding of the
weight, where the host makes a product, a scaling, a cast and a rounding for every LoRA.
"""
from collections.abc import Sequence

import comfy.model_management
import torch
from comfy.cli_args import args
from comfy.weight_adapter import LoRAAdapter, WeightAdapterBase

from ....kernels import dispatch
from ....kernels.merge import merge
from .adapter_parts import part


class RankStack(WeightAdapterBase):
    """weight += strength * scale * (up * share) @ down.

    weights: (up [out, rank], down [rank, in], share float32 [rank], scale). Everything is in this tuple because the
    host rebuilds adapters as type(adapter)(loaded_keys, prefetched weights), which loses attributes.
    """
    name = "rank stack"

    def __init__(self, loaded_keys: set[str], weights: tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]):
        self.loaded_keys, self.weights = loaded_keys, weights

    def calculate_weight(self, weight, key, strength, strength_model, offset, function,
                         intermediate_dtype=torch.float32, original_weight=None):
        cast = comfy.model_management.cast_to_device
        up, down, share = (cast(tensor, weight.device, None) for tensor in self.weights[:3])
        up, down = (up * share).to(weight.dtype), down.to(weight.dtype)
        alpha = strength * self.weights[3]
        # The host passes an identity where a weight has no function of its own, and only that returns its argument.
        if function(weight) is not weight:
            return weight.add_(function(torch.mm(up, down).mul_(alpha).reshape(weight.shape)))
        allowed = not args.disable_triton_backend
        if weight.is_contiguous() and dispatch.prefers_triton("merge", weight.device, allowed):
            return merge([weight], [(up.float() * alpha, down.float())], [weight], allow_triton=allowed)[0]
        plane = weight.reshape(len(up), down.shape[1]).addmm_(up, down, alpha=alpha)
        return weight if plane.data_ptr() == weight.data_ptr() else weight.copy_(plane.view(weight.shape))


def stackable(adapter) -> bool:
    """Whether an adapter of the host is a plain LoRA: no DoRA scale, no reshaped weight, no Tucker core."""
    own = ("mid", "dora_scale", "reshape")
    return type(adapter) is LoRAAdapter and all(part(adapter, name) is None for name in own)


def combine(adapters: Sequence[tuple[LoRAAdapter, float]]) -> RankStack:
    """One adapter with the effect of all `adapters`, (LoRA, strength) each, on the same weight or slice of it.

    Kernels of convolutions count as matrices [out, in * height * width]. The factors keep their dtype where all have
    the same; strengths and alphas are not rounded into it. Raises ValueError for adapters that are not `stackable`,
    for none at all, and for factors of different shapes."""
    odd = next((adapter for adapter, _ in adapters if not stackable(adapter)), None)
    if odd is not None or not adapters:
        what = "none" if odd is None else f"{odd.name} with a part of its own"
        raise ValueError(f"adapters: expected plain LoRAs, got {what}.")
    ups, downs = ([part(adapter, name).flatten(1) for adapter, _ in adapters] for name in ("up", "down"))
    scales = [strength * _scale(adapter) for adapter, strength in adapters]
    # The largest goes into addmm's alpha, which is applied to the exact product: nothing leaves the range of fp16.
    largest = max(map(abs, scales)) or 1.0
    share = [torch.full((len(down),), scale / largest) for scale, down in zip(scales, downs, strict=True)]
    keys = set().union(*(adapter.loaded_keys for adapter, _ in adapters))
    return RankStack(keys, (_joined(ups, 1), _joined(downs, 0), torch.cat(share), largest))


def _scale(adapter) -> float:
    alpha, rank = part(adapter, "alpha"), len(part(adapter, "down"))
    return 1.0 if alpha is None else float(alpha) / rank


def _joined(factors: Sequence[torch.Tensor], dim: int) -> torch.Tensor:
    """cat, in float32 where the factors differ in dtype or hold less than 16 bits."""
    other = 1 - dim
    if len({factor.shape[other] for factor in factors}) > 1:
        shapes = ", ".join("x".join(map(str, factor.shape)) for factor in factors)
        raise ValueError(f"adapters: expected LoRAs on the same weight, got factors of {shapes}.")
    same = len({factor.dtype for factor in factors}) == 1 and factors[0].dtype.itemsize > 1
    return torch.cat([factor if same else factor.float() for factor in factors], dim)
