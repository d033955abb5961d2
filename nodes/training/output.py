"""LoRA files of a training run: where they go, what they say about themselves, and proof that the host loads them."""
import datetime
import json
import os
from dataclasses import asdict
from functools import partial

import comfy.lora
import comfy.utils
import folder_paths
import torch

from ..lora.energy import model_weight
from ..lora.export_names import model_names, tensors_of
from ..lora.files import write_lora
from ..lora.merge import Piece
from ..lora.save import bake
from .adapters import LoraShape
from .settings import Settings


def lora_folder() -> str:
    """The folder under ComfyUI's output that its LoRA loaders list."""
    return os.path.join(folder_paths.get_output_directory(), "loras")


def free_path(stem: str) -> str:
    """<output>/loras/<stem>.safetensors, or <stem>_00001.safetensors and so on when that exists already."""
    candidate, number = f"{stem}.safetensors", 0
    while os.path.exists(os.path.join(lora_folder(), candidate)):
        number += 1
        candidate = f"{stem}_{number:05}.safetensors"
    return os.path.join(lora_folder(), candidate)


def check_loads(tensors: dict[str, torch.Tensor], model: torch.nn.Module,
                encoders: torch.nn.Module | None = None) -> None:
    """Raises RuntimeError unless the host's LoRA loader maps every key to a weight of `model` or of the encoders."""
    mapped = comfy.lora.load_lora(tensors, _host_names(model, encoders), log_missing=False)
    used = {key for patch in mapped.values() for key in patch.loaded_keys}
    lost = sorted(tensors.keys() - used)
    if lost:
        raise RuntimeError(f"model: the host's LoRA loader does not know {len(lost)} of {len(tensors)} keys of the "
                           f"trained LoRA, the first is {lost[0]}.")


def save_checked(path: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str], model,
                 file_format: str = "native", encoders: torch.nn.Module | None = None) -> None:
    """Writes the file, reads it back and proves that the host maps all of it."""
    write_lora(path, renamed(tensors, file_format, model, encoders), metadata)
    check_loads(comfy.utils.load_torch_file(path, safe_load=True), model, encoders)


def renamed(tensors: dict[str, torch.Tensor], file_format: str, model, encoders=None) -> dict[str, torch.Tensor]:
    """Native names in another of FORMATS. diffusers names q, k and v of a fused weight by themselves; where a format
    has no name for a weight, the native one stays."""
    if file_format == "native":
        return tensors
    names, out = model_names(model, file_format, encoders), {}
    for key, patch in comfy.lora.load_lora(tensors, _host_names(model, encoders), log_missing=False).items():
        module = model if key.startswith("diffusion_model.") else encoders
        for part in bake(key, [Piece(patch, 1.0)], names, partial(model_weight, module)):
            # Copies, because the parts of a fused weight share their down, and a file must not.
            out |= {name: t.clone() for name, t in tensors_of(part.name, part.patch, file_format).items()}
    return out


def _host_names(model, encoders):
    names = comfy.lora.model_lora_keys_unet(model, {})
    return names if encoders is None else comfy.lora.model_lora_keys_clip(encoders, names)


def metadata(settings: Settings, shape: LoraShape, model, kind: str, pictures: int, steps_done: int, started: float,
             finished: float, title: str) -> dict[str, str]:
    """ss_* as kohya's trainers write it, modelspec 1.0.1, and the whole configuration as JSON."""
    architecture = model.model_config.unet_config.get("image_model", type(model).__name__)
    return {
        "ss_network_module": "networks.lora" if shape.algorithm == "LoRA" else "lycoris.kohya",
        "ss_network_dim": str(shape.rank),
        "ss_network_alpha": str(shape.alpha_of(shape.rank)),
        "ss_network_args": json.dumps({"algo": shape.algorithm.lower(), **asdict(shape.settings)}),
        "ss_base_model_version": type(model).__name__,
        "ss_learning_rate": str(settings.learning_rate),
        "ss_optimizer": settings.recipe.optimizer.name,
        "ss_lr_scheduler": f"{settings.recipe.schedule.shape}, {settings.warmup} warm-up steps",
        "ss_max_train_steps": str(settings.steps),
        "ss_steps": str(steps_done),
        "ss_total_batch_size": str(settings.batch_size),
        "ss_num_train_images": str(pictures),
        "ss_seed": str(settings.seed),
        "ss_training_started_at": str(started),
        "ss_training_finished_at": str(finished),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": title,
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.implementation": "https://github.com/comfyanonymous/ComfyUI",
        "modelspec.prediction_type": {"eps": "epsilon"}.get(kind, kind),
        "modelspec.date": datetime.datetime.fromtimestamp(finished).isoformat(timespec="seconds"),
        "bottega.config": json.dumps({**settings.as_dict(), "adapter": shape.as_dict()}),
    }
