"""Brings a model onto its device for training, once its size and that of the pictures are known to go together."""
import math

import comfy.model_management
import torch

from ...lora.applying.bypass import check_patched
from ...shared.host_capabilities import require
from ...shared.text_syntax import shorten
from ..data.dataset import TrainingSet, outlines
from .layers import largest_side


def load_for_training(patcher, dataset: TrainingSet, batch_size: int, aside: bool = False):
    """A clone on the device, which shares the weights and keeps the user's patches; fp16 models compute in bf16 or
    fp32, because their gradients underflow in fp16. aside: as much of it as may be stays off the device. Raises
    ValueError for a model with LoRAs beside its layers."""
    check_patched(patcher)
    for capability in ("frozen weights", "training mode", "fused operations", "conditions"):
        require(capability)
    # A base in slices wants weights that lie where the module says.
    patcher = patcher.clone(disable_dynamic=True) if aside else patcher.clone()
    if (patcher.get_model_object("manual_cast_dtype") or patcher.model.get_dtype()) == torch.float16:
        bf16 = comfy.model_management.should_use_bf16(patcher.load_device)
        patcher.set_model_compute_dtype(torch.bfloat16 if bf16 else torch.float32)
    load(patcher, dataset, batch_size, aside)
    return patcher


# Models of single pictures whose latents have a place for frames, by the host's class.
PICTURES = ("QwenImage", "Krea2", "JoyImage", "Anima")


def check_videos(dataset: TrainingSet, model) -> None:
    """Raises ValueError where a model of pictures is to learn a video."""
    takes_frames = model.latent_format.latent_dimensions == 3 and type(model).__name__ not in PICTURES
    video = next((each for each in outlines(dataset.samples) if len(each.shape) == 5 and each.shape[2] > 1), None)
    if video and not takes_frames:
        raise ValueError(f"dataset: expected pictures, because {type(model).__name__} is a model of pictures; "
                         f"{shorten(video.name or 'one sample', 60)} is a video of {video.shape[2]} latent frames. "
                         "Leave frames empty in Training Set, or connect a video model.")


def check_sizes(dataset: TrainingSet, model) -> None:
    """Raises ValueError where a picture is larger than the model takes."""
    most, scale = largest_side(model.diffusion_model), model.latent_format.spacial_downscale_ratio
    for number, sample in enumerate(outlines(dataset.samples), 1):
        height, width = sample.shape[-2:]
        if most and max(height, width) > most:
            raise ValueError(f"dataset: {type(model).__name__} takes pictures of at most {most * scale} x "
                             f"{most * scale}; {shorten(sample.name or f'picture {number}', 60)} is "
                             f"{width * scale} x {height * scale}. Set resolution in Training Set lower.")


def load(patcher, dataset: TrainingSet, batch_size: int, aside: bool = False) -> None:
    """Brings the model onto its device, with room for a batch's activations; aside: as little of it as the host can."""
    largest = max((sample.shape for sample in outlines(dataset.samples)), key=math.prod)
    inference = patcher.memory_required([batch_size, *largest[1:]])
    room = max(3 * inference, comfy.model_management.get_total_memory(patcher.load_device)) if aside else 3 * inference
    comfy.model_management.load_models_gpu([patcher], memory_required=room)
