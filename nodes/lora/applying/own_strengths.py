"""Strengths of single patches of a ModelPatcher, whose add_patches takes one for all."""
from ...shared.host_version import version_of_host


def put_strengths(patches: dict[str, list[tuple]], entries: dict, strength: float) -> None:
    """Sets the ratios in our own entries: add_patches takes one strength, and each call walks the whole model.

    Raises RuntimeError where the host keeps patches in another form than (strength, patch, strength of the weight,
    ...)."""
    for target, (patch, change, weight) in entries.items():
        if (change, weight) != (strength, 1.0):
            key = target if isinstance(target, str) else target[0]
            row = patches.get(key, [])
            if not any(_is_ours(entry, patch, strength) for entry in row):
                raise RuntimeError(f"LoRA: ComfyUI {version_of_host()} keeps the patches of a model in another form "
                                   "than this pack knows, so blocks cannot have weights of their own here.")
            patches[key] = [(change, patch, weight, *entry[3:]) if _is_ours(entry, patch, strength) else entry
                            for entry in row]


def _is_ours(entry, patch, strength: float) -> bool:
    return isinstance(entry, tuple) and len(entry) >= 3 and entry[1] is patch and entry[0] == strength
