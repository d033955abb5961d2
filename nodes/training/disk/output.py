"""LoRA files of a training run, and what they say about themselves."""
import datetime
import json
from collections import Counter
from dataclasses import asdict
from functools import partial

import torch

from ...lora.saving.baking import renamed
from ...lora.saving.output import write_new
from ...lora.saving.proof import check_loads
from ..adapters import LoraShape
from ..data.dataset import TEXT, TrainingSet
from ..plan.settings import Settings

MOST_TAGS = 1000


def save(stem: str, tensors: dict[str, torch.Tensor], about: dict[str, str], model: torch.nn.Module,
         file_format: str = "native", encoders: torch.nn.Module | None = None) -> str:
    """Writes a LoRA under a name that is free, once the host has taken all of it, and returns where."""
    if file_format != "native":
        tensors = renamed(tensors, file_format, model, encoders)
    return str(write_new(stem, tensors, about, partial(check_loads, model=model, encoders=encoders)))


def metadata(settings: Settings, shape: LoraShape, model, kind: str, dataset: TrainingSet, steps_done: int,
             started: float, finished: float, title: str) -> dict[str, str]:
    """ss_* as kohya's trainers write it, modelspec 1.0.1, and the whole configuration as JSON."""
    (width, height), levels = _usual_size(dataset, model), settings.recipe.timesteps
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
        "ss_num_train_images": str(len(dataset.samples)),
        "ss_resolution": f"({width}, {height})",
        "ss_tag_frequency": json.dumps({"captions": _tags(dataset)}),
        "ss_seed": str(settings.seed),
        "ss_training_started_at": str(started),
        "ss_training_finished_at": str(finished),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": title,
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.implementation": "https://github.com/comfyanonymous/ComfyUI",
        "modelspec.prediction_type": {"eps": "epsilon"}.get(kind, kind),
        "modelspec.resolution": f"{width}x{height}",
        "modelspec.timestep_range": f"{round(1000 * levels.low)},{round(1000 * levels.high)}",
        "modelspec.date": datetime.datetime.fromtimestamp(finished).isoformat(timespec="seconds"),
        "bottega.config": json.dumps({**settings.as_dict(), "adapter": shape.as_dict()}),
    }


def _usual_size(dataset: TrainingSet, model) -> tuple[int, int]:
    """Width and height in pixels of most pictures."""
    sizes = Counter(tuple(sample.latent.shape[:-3:-1]) for sample in dataset.samples if not sample.is_regularisation)
    (width, height), scale = sizes.most_common(1)[0][0], model.latent_format.spacial_downscale_ratio
    return width * scale, height * scale


def _tags(dataset: TrainingSet) -> dict[str, int]:
    """How often the parts of captions between commas occur, where their words are known: other programs show these as
    what a LoRA listens to."""
    words = (sample.options.get(TEXT, "") for sample in dataset.samples if not sample.is_regularisation)
    tags = Counter(tag.strip() for caption in words for tag in caption.split(",") if tag.strip())
    return dict(tags.most_common(MOST_TAGS))
