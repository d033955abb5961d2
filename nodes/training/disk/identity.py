"""What a training state belongs to: a model, the shape of its adapters, a data set."""
import hashlib

import torch

from ..data.dataset import TrainingSet

PROBED, PROBE_BYTES = 16, 4096


def model_identity(model: torch.nn.Module) -> str:
    """A hash of the names and shapes of all weights and of the values of a few small ones."""
    parts = list(model.diffusion_model.named_parameters())
    small = [p for _, p in parts if p.ndim == 1] or [p for _, p in parts]
    names = "".join(f"{name}{tuple(p.shape)}" for name, p in parts)
    return _hash(type(model).__name__, names, *small[::max(1, len(small) // PROBED)])


def adapters_identity(tensors: dict[str, torch.Tensor]) -> str:
    """A hash of the names and shapes of a LoRA."""
    return _hash(*(f"{name}{tuple(tensor.shape)}" for name, tensor in tensors.items()))


def dataset_identity(dataset: TrainingSet) -> str:
    """A hash of every picture's shape and first values, in order, and of those it is paired with."""
    return _hash(*(part for s in dataset.samples for latent in (s.latent, s.before) if latent is not None
                   for part in (str(tuple(latent.shape)), latent)))


def content_identity(*parts: torch.Tensor | str) -> str:
    """A hash of words and of all values of tensors."""
    return _hash(*parts, values=None)


def _hash(*parts, values=PROBE_BYTES // 4):
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, torch.Tensor):
            part = part.detach().flatten()[:values].to("cpu", torch.float32).numpy().tobytes()
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()
