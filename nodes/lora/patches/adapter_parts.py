"""Where the parts of the host's adapters stand in their `weights`: the one place that knows the positions.

Newer hosts set attributes on an adapter after it is made (LoKrAdapter.key, .row_offset), so one with other parts is a
copy of it, never made anew from its parts.
"""
import copy

from comfy import weight_adapter
from torch import Tensor

from ...shared.host_version import version_of_host

POSITIONS = {
    weight_adapter.LoRAAdapter: ("up", "down", "alpha", "mid", "dora_scale", "reshape"),
    weight_adapter.LoHaAdapter: ("w1_a", "w1_b", "alpha", "w2_a", "w2_b", "t1", "t2", "dora_scale"),
    weight_adapter.LoKrAdapter: ("w1", "w2", "alpha", "w1_a", "w1_b", "w2_a", "w2_b", "t2", "dora_scale"),
    weight_adapter.GLoRAAdapter: ("a1", "a2", "b1", "b2", "alpha", "dora_scale"),
    weight_adapter.OFTAdapter: ("blocks", "rescale", "alpha", "dora_scale"),
    weight_adapter.BOFTAdapter: ("blocks", "rescale", "alpha", "dora_scale"),
}


def check_layout(patch) -> None:
    """Raises RuntimeError for an adapter of the host with other parts than these."""
    known = POSITIONS.get(type(patch))
    if known and len(patch.weights) != len(known):
        raise RuntimeError(f"LoRA: ComfyUI {version_of_host()} keeps a {patch.name} in {len(patch.weights)} parts, and "
                           f"this pack knows {len(known)}; no LoRA of this kind can be loaded or saved with it here.")


def part(patch, name: str) -> Tensor | float | None:
    """One part of an adapter of the host; None where it has none of this name."""
    known = POSITIONS.get(type(patch), ())
    return patch.weights[known.index(name)] if name in known else None


def with_parts(patch, **parts):
    """A copy of an adapter of the host with other parts; what else was set on it stays."""
    made, known = copy.copy(patch), POSITIONS[type(patch)]
    made.weights = tuple(parts.get(name, old) for name, old in zip(known, patch.weights, strict=True))
    return made


def is_config(patch) -> bool:
    """Whether a patch is a setting that newer hosts hand to a weight, and no change of it."""
    return isinstance(patch, tuple) and patch[0] == "config"


def is_narrowed(patch) -> bool:
    """Whether the host takes rows out of the adapter's change: a LoKr of a fused weight for one part of it."""
    return getattr(patch, "row_offset", None) is not None


def host_key(patch, otherwise: str = "weight") -> str:
    """The name of its weight that an adapter was given after it was made, and may ask for."""
    return getattr(patch, "key", None) or otherwise
