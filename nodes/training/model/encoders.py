"""Text encoders that are trained along with the model."""
import comfy.model_management
import torch

from ..data.dataset import TEXT, TrainingSet
from .targets import names_encoders


def encoders_to_train(clip, targets: str, dataset: TrainingSet, device: torch.device):
    """A loaded clone of the CLIP when the targets name text encoders, else None.

    Raises ValueError when that cannot work: a data set without words, or encoders on another device."""
    if clip is None or not targets.strip() or not names_encoders(targets):
        return None
    if any(sample.before is not None for sample in dataset.samples):
        raise ValueError("targets: TE trains text encoders, which pairs of pictures do not reach: what changes between "
                         "two pictures with one caption is the model's to learn. Leave TE out of LoRA Shape's targets.")
    for sample in dataset.samples:
        if TEXT not in sample.options:
            raise ValueError("dataset: expected the words of every caption to train text encoders with, as Training "
                             "Set gives them; got captions that are encoded already.")
    clip = clip.clone()
    if clip.patcher.load_device != device:
        raise ValueError(f"clip: expected text encoders on {device}, where the model is, to train them; they run on "
                         f"{clip.patcher.load_device}.")
    comfy.model_management.load_models_gpu([clip.patcher])
    return clip
