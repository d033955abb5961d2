"""LoRA files of a training run: where they go, what they say about themselves, and proof that the host loads them."""
import datetime
import json
import os
import re
from dataclasses import asdict

import comfy.lora
import comfy.utils
import folder_paths
import torch

from ..lora.files import write_lora
from .adapters import LoraShape
from .settings import Settings

KOHYA_NAME = re.compile(r"^diffusion_model\.(.+?)\.((?:lora_(?:up|down)\.weight|[^.]+))$")


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


def check_loads(tensors: dict[str, torch.Tensor], model: torch.nn.Module) -> None:
    """Raises RuntimeError unless the host's LoRA loader maps every key to a weight of `model`."""
    key_map = comfy.lora.model_lora_keys_unet(model, {})
    mapped = comfy.lora.load_lora(tensors, key_map, log_missing=False)
    used = {key for patch in mapped.values() for key in patch.loaded_keys}
    lost = sorted(tensors.keys() - used)
    if lost:
        raise RuntimeError(f"model: the host's LoRA loader does not know {len(lost)} of {len(tensors)} keys of the "
                           f"trained LoRA, the first is {lost[0]}.")


def save_checked(path: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str], model,
                 file_format: str = "native") -> None:
    """Writes the file, reads it back and proves that the host maps all of it."""
    write_lora(path, renamed(tensors, file_format), metadata)
    check_loads(comfy.utils.load_torch_file(path, safe_load=True), model)


def renamed(tensors: dict[str, torch.Tensor], file_format: str) -> dict[str, torch.Tensor]:
    """Native names in another format: kohya's have underscores for dots."""
    if file_format == "native":
        return tensors
    return {KOHYA_NAME.sub(lambda m: f"lora_unet_{m[1].replace('.', '_')}.{m[2]}", key): tensor
            for key, tensor in tensors.items()}


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
