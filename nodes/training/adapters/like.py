"""Adapters in the shape of a LoRA that is there, so that its training can go on."""
import comfy.lora
import torch

from ...lora.saving.export_names import host_names
from ..model.frozen import FrozenWeight, takes_adapter
from .flat import Adapters
from .table import ALGORITHMS

MODEL = "diffusion_model."
ON_TOP = "apply it with Load LoRA and leave lora and lora_name empty: a new one is then trained on top of it"


def like(tensors: dict[str, torch.Tensor], model: torch.nn.Module, device, generator: torch.Generator) -> Adapters:
    """Fresh adapters for the layers of a LoRA, each of its rank; Adapters.load gives them its values.

    tensors: as comfy.lora_convert leaves them. Raises ValueError for what is not a LoRA, LoCon or DoRA of whole layers
    of this model."""
    layers = {}
    for key, patch in mapped(tensors, model).items():
        if isinstance(key, str) and not key.startswith(MODEL):
            continue
        name = key.removeprefix(MODEL).removesuffix(".weight") if isinstance(key, str) else ""
        kind, rank, alpha = _kind(key, patch)
        module = model.diffusion_model.get_submodule(name)
        if not takes_adapter(module):
            raise ValueError(f"lora: expected layers that can be trained, got {name}, a {type(module).__name__}; "
                             f"{ON_TOP}.")
        layers[name] = kind.adapter(FrozenWeight(module), rank, alpha, kind.settings())
    if not layers:
        raise ValueError(f"lora: expected one for {type(model).__name__}, got one that names none of its layers.")
    return Adapters(layers, device, generator)


def mapped(tensors: dict[str, torch.Tensor], model: torch.nn.Module) -> dict:
    """{weight of the model: patch} as the host's loader reads a LoRA."""
    return comfy.lora.load_lora(dict(tensors), host_names(model), log_missing=False)


def _kind(key, patch):
    """(algorithm, rank, alpha) of one patch."""
    shown = key if isinstance(key, str) else key[0]
    if not isinstance(key, str):
        raise ValueError(f"lora: expected whole layers, got a part of {shown}; {ON_TOP}.")
    if getattr(patch, "name", "") != "lora":
        raise ValueError(f"lora: expected a LoRA, LoCon or DoRA, got {getattr(patch, 'name', 'a plain difference')} "
                         f"for {shown}; {ON_TOP}.")
    _, down, alpha, _, scale, _ = patch.weights
    rank = down.shape[0]
    return ALGORITHMS["LoRA" if scale is None else "DoRA"], rank, float(rank if alpha is None else alpha)
