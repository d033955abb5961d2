"""DoRA as PEFT merges it (Liu et al. 2024): the norm is that of the changed weight.

The host's `dora_scale` on rows divides by the norm of the weight as it was, which is another result.
"""
import comfy.model_management
import torch
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor


class PeftDora(WeightAdapterBase):
    """weight -> V * magnitude / |V| with V = weight + alpha / rank * up @ down and norms of rows; blended by strength.

    weights: (up [out, rank, ...], down [rank, in, ...], alpha or None, magnitude [out]). Everything is in this tuple
    because the host rebuilds adapters as type(adapter)(loaded_keys, prefetched weights)."""
    name = "PEFT's DoRA"

    def __init__(self, loaded_keys: set[str], weights: tuple[Tensor, Tensor, float | None, Tensor]):
        self.loaded_keys, self.weights = loaded_keys, weights

    @property
    def down(self) -> Tensor:
        return self.weights[1]

    @property
    def alpha(self) -> float | None:
        return self.weights[2]

    def calculate_weight(self, weight, key, strength, strength_model, offset, function,
                         intermediate_dtype=torch.float32, original_weight=None):
        up, down, alpha, magnitude = self.weights
        up, down, magnitude = (comfy.model_management.cast_to_device(part, weight.device, intermediate_dtype)
                               for part in (up, down, magnitude))
        scale = 1.0 if alpha is None else alpha / len(down)
        changed = weight.to(intermediate_dtype) + function(
            (up.flatten(1) @ down.flatten(1)).mul_(scale).reshape(weight.shape))
        norms = changed.flatten(1).norm(dim=1).clamp_min(torch.finfo(intermediate_dtype).tiny)
        factors = function(magnitude.reshape(-1, 1)).reshape(-1) / norms
        return weight.lerp_((changed * factors.reshape(-1, *[1] * (weight.ndim - 1))).to(weight.dtype), strength)
