"""A patch whose effect is linear in its strength, also where that of the host's own is not."""
import torch
from comfy.weight_adapter import BOFTAdapter, OFTAdapter, WeightAdapterBase


def as_linear(patch, strength: float) -> tuple[object, float, float]:
    """(patch, strength of the change, strength of the weight), such that the effect is linear in strength."""
    if type(patch) in _BLENDED:     # at strength 1 too: the host's own fails on weights in half precision
        return _blend(patch), strength, 1.0
    if strength != 1 and isinstance(patch, tuple) and patch[0] == "set":
        return ("diff", patch[1]), strength, 1.0 - strength
    return patch, strength, 1.0


class _Blend:
    """Mixes in the whole change by strength: the host squares the strength of OFT and bends that of BOFT.

    In float32, because on weights that it streams in half precision the host multiplies float32 by half, logs the error
    and leaves the weight as it is."""

    def calculate_weight(self, weight, key, strength, strength_model, offset, function,
                         intermediate_dtype=torch.float32, original_weight=None):
        before = weight.to(torch.float32)
        whole = super().calculate_weight(before.clone(), key, 1.0, strength_model, offset, function, torch.float32,
                                         original_weight)
        return weight.copy_(before.lerp(whole, strength))


class BlendedOFT(_Blend, OFTAdapter):
    """OFT whose effect is linear in strength. A class, because the host rebuilds adapters and keeps only their type."""


class BlendedBOFT(_Blend, BOFTAdapter):
    """BOFT whose effect is linear in strength."""


class BlendedSet(WeightAdapterBase):
    """set_weight whose effect is linear in strength."""
    name = "set"

    def __init__(self, loaded_keys, weights):
        self.loaded_keys, self.weights = loaded_keys, weights

    def calculate_weight(self, weight, key, strength, *args, **kwargs):
        return weight.lerp_(self.weights[0].to(weight), strength)


def blended(patch):
    """The patch, such that its effect is linear in whatever strength the host gives it later, as its hooks do."""
    if isinstance(patch, tuple):
        return BlendedSet(set(), patch[1]) if patch[0] == "set" else patch
    return _blend(patch) if type(patch) in _BLENDED else patch


def _blend(patch):
    made = _BLENDED[type(patch)](patch.loaded_keys, patch.weights)
    vars(made).update(vars(patch))  # what newer hosts set on an adapter after it is made
    return made


_BLENDED = {OFTAdapter: BlendedOFT, BOFTAdapter: BlendedBOFT}
