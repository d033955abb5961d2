"""Models that other packs load, whose weights the host does not hold as it holds its own."""
import torch

TITLES = {"nunchaku": "Nunchaku", "gguf": "GGUF"}
OWN_TENSORS = ("torch.", "comfy.", "comfy_kitchen.")


def loaded_by(model) -> str:
    """Which of TITLES a ModelPatcher comes from, or ""."""
    inner = type(model.model.diffusion_model)
    names = f"{type(model).__module__}.{type(model).__name__}.{inner.__module__}.{inner.__name__}".lower()
    return next((name for name in TITLES if name in names), "")


def check_patchable(model) -> None:
    """Raises ValueError for a model that takes no patches; those of GGUF do, as their weights are used."""
    if loaded_by(model) == "nunchaku":
        raise ValueError("model: a Nunchaku model keeps its weights in 4 bits of its own, which ComfyUI cannot patch. "
                         "Use the LoRA loader of its pack, which has no block weights.")


def is_readable(weight: torch.Tensor) -> bool:
    """Whether the host can unpack a weight; GGUF's are bytes that only its own layers read."""
    return f"{type(weight).__module__}.".startswith(OWN_TENSORS)
