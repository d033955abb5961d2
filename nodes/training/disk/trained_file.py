"""LoRA files of a training run, and what they say about themselves."""
import datetime
import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from functools import partial

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ...lora.saving.baking import renamed
from ...lora.saving.output_file import lora_folder, write_new
from ...lora.saving.roundtrip_check import check_loads
from ..adapters import LoraShape
from ..averaging.snapshots import EMA_LENGTH
from ..data.dataset import TrainingSet, outlines
from ..plan.settings import Settings
from ..step.loss import Objective
from ..step.prediction import SAMPLE_WITH, SHIFT, sampling_facts

MOST_TAGS = 1000
TAGS = "ss_tag_frequency"
# What loaders and their lists need to know a file by.
NEEDED = ("ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_network_args", "ss_base_model_version",
          "modelspec.sai_model_spec", "modelspec.title", "modelspec.architecture", "modelspec.implementation",
          "modelspec.prediction_type", SHIFT, SAMPLE_WITH)


def save(stem: str, tensors: dict[str, torch.Tensor], about: dict[str, str], model: torch.nn.Module,
         file_format: str = "native", encoders: torch.nn.Module | None = None) -> str:
    """Writes a LoRA under a name that is free, once the host has taken all of it, and returns where."""
    if file_format != "native":
        tensors = renamed(tensors, file_format, model, encoders)
    return str(write_new(stem, tensors, about, partial(check_loads, model=model, encoders=encoders)))


def find_same(stem: str, tensors: dict[str, torch.Tensor], model: torch.nn.Module, file_format: str = "native",
              encoders: torch.nn.Module | None = None) -> str:
    """Where save() has put just these tensors under that stem, or "" where it has not."""
    if file_format != "native":
        tensors = renamed(tensors, file_format, model, encoders)
    own = re.compile(rf"{re.escape(stem)}(_\d{{5,}})?")
    for path in sorted(each for each in lora_folder().glob("*.safetensors") if own.fullmatch(each.stem)):
        with suppress(OSError, SafetensorError):        # what cannot be read is another file
            kept = load_file(path)
            if kept.keys() == tensors.keys() and all(torch.equal(kept[key], tensors[key]) for key in kept):
                return str(path)
    return ""


def metadata(settings: Settings, shape: LoraShape, model, objective: Objective, dataset: TrainingSet,
             steps_done: int, started: float, finished: float, title: str, kept_length: float = 0.0) -> dict[str, str]:
    """ss_* as kohya's trainers write it, modelspec 1.0.1, and the whole configuration as JSON; of these what the
    recipe's metadata asks for. kept_length: sigma_rel of the average that the file holds, 0 for none."""
    said = settings.recipe.metadata
    about = _about(settings, shape, model, objective.kind, dataset, steps_done, started, finished, title)
    about |= sampling_facts(model, objective.sampling)
    about |= {EMA_LENGTH: str(kept_length)} if kept_length else {}
    kept = {"full": about.keys(), "tags only": {*NEEDED, TAGS}, "none": set(NEEDED)}[said]
    return {name: value for name, value in about.items() if name in kept}


def _about(settings, shape, model, kind, dataset, steps_done, started, finished, title):
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
        TAGS: json.dumps({"captions": _tags(dataset)}),
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
    sizes = Counter(sample.shape[:-3:-1] for sample in outlines(dataset.samples) if not sample.is_regularisation)
    (width, height), scale = sizes.most_common(1)[0][0], model.latent_format.spacial_downscale_ratio
    return width * scale, height * scale


def _tags(dataset: TrainingSet) -> dict[str, int]:
    """How often the parts of captions between commas occur, where their words are known: other programs show these as
    what a LoRA listens to."""
    words = (sample.text or "" for sample in outlines(dataset.samples) if not sample.is_regularisation)
    tags = Counter(tag.strip() for caption in words for tag in caption.split(",") if tag.strip())
    return dict(tags.most_common(MOST_TAGS))
