"""A training run from a model and a data set to a checked LoRA file."""
import logging
import math
import os
import time
from contextlib import nullcontext
from typing import NamedTuple

import comfy.model_management
import torch

from . import output
from .adapters import LoraShape, attached, build, checkpointed
from .batches import batches
from .dataset import TrainingSet
from .denoiser import Denoiser
from .differentiable import DifferentiableHost, training_mode
from .gradient import backward
from .layers import repeated_blocks
from .objective import Objective
from .optimizer import FlatAdamW
from .progress import Progress
from .selfcheck import SelfCheck, self_check
from .settings import Settings


class Trained(NamedTuple):
    tensors: dict[str, torch.Tensor]
    losses: list[float]
    path: str
    seconds_a_step: float
    check: SelfCheck
    objective: Objective
    shape: LoraShape
    layers: int
    parameters: int


def train(patcher, dataset: TrainingSet, settings: Settings, name: str, progress: Progress,
          shape: LoraShape | None = None) -> Trained:
    """Trains a LoRA on the model and leaves the model as it was, whatever happens. shape None: LoRA of settings.rank.

    A run that is cancelled or fails after its first step leaves <name>_interrupted.safetensors.
    Raises ValueError for inputs that cannot be trained on and FloatingPointError when the loss stops being finite."""
    stem = output.file_stem(name)
    # The executor runs in inference mode, whose tensors cannot take part in a backward.
    with torch.inference_mode(False), torch.enable_grad():
        shape = shape or LoraShape(rank=settings.rank)
        run = _Run(load_for_training(patcher, dataset, settings), dataset, settings, shape)
        output.check_loads(run.tensors(), run.model)
        check = run.self_check()
        started = time.time()
        try:
            run.loop(check, progress)
        except BaseException as error:
            if run.losses:
                path = run.save(f"{stem}_interrupted", started)
                logging.warning("Training stopped after %s steps; the LoRA so far is kept in %s", len(run.losses), path)
                if isinstance(error, FloatingPointError):
                    raise FloatingPointError(f"{error} The LoRA so far is kept in {path}.") from None
            raise
        path = run.save(stem, started)
        return Trained(run.tensors(), run.losses, path, run.seconds / settings.steps, check, run.objective,
                       shape, len(run.adapters.layers), run.adapters.flat.numel())


def load_for_training(patcher, dataset: TrainingSet, settings: Settings):
    """A clone on the device, which shares the weights and keeps the user's patches; fp16 models compute in bf16 or
    fp32, because their gradients underflow in fp16."""
    patcher = patcher.clone()
    if (patcher.get_model_object("manual_cast_dtype") or patcher.model.get_dtype()) == torch.float16:
        bf16 = comfy.model_management.should_use_bf16(patcher.load_device)
        patcher.set_model_compute_dtype(torch.bfloat16 if bf16 else torch.float32)
    largest = max((sample.latent for sample in dataset.samples), key=torch.Tensor.numel)
    inference = patcher.memory_required([settings.batch_size, *largest.shape[1:]])
    comfy.model_management.load_models_gpu([patcher], memory_required=3 * inference)
    return patcher


class _Run:
    def __init__(self, patcher, dataset, settings, shape):
        self.patcher, self.model, self.dataset, self.settings = patcher, patcher.model, dataset, settings
        self.shape = shape
        self.objective = Objective(patcher.get_model_object("model_sampling"))
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.denoiser = Denoiser(patcher, settings.guidance)
        self.adapters = build(shape, self.model, patcher.load_device, self.generator)
        self.losses: list[float] = []
        self.seconds = 0.0

    def self_check(self):
        return self_check(self.patcher, self.denoiser, self.objective, self.adapters, self.dataset.samples[0],
                          self.settings.batch_size, self.settings.seed)

    def loop(self, check, progress):
        network = self.model.diffusion_model
        blocks = [block for _, block in repeated_blocks(network)]
        samples = [self.denoiser.encode(sample) for sample in self.dataset.samples]
        optimizer = FlatAdamW(self.adapters.flat, self.settings)
        order = batches(len(samples), self.settings.batch_size, self.generator)
        with training_mode(self.patcher), attached(network, self.adapters, self.denoiser.device), \
                checkpointed(blocks) if check.checkpoint else nullcontext(), DifferentiableHost():
            for number in range(self.settings.steps):
                self._step(number, [samples[i] for i in next(order)], optimizer)
                progress.update(self.losses, self.seconds)

    def _step(self, number, batch, optimizer):
        before = time.perf_counter()
        noise = [torch.randn(sample.latent.shape, generator=self.generator) for sample in batch]
        sigma = self.objective.draw_sigmas(len(batch), self.generator)
        with self.adapters.dropping(self.generator):
            loss = backward(self.denoiser, self.objective, batch, noise, sigma)
        loss, norm = torch.stack([loss, optimizer.norm()]).tolist()
        if not math.isfinite(loss + norm):
            optimizer.undo()
            raise FloatingPointError(f"Training stopped at step {number + 1} of {self.settings.steps}: its loss is "
                                     f"{loss:g} and its gradient norm {norm:g}. Try a lower learning_rate.")
        optimizer.step(number, norm)
        self.losses.append(loss)
        self.seconds += time.perf_counter() - before

    def tensors(self):
        """Half-precision models get a bf16 file: they cannot use more, and it is half the size."""
        full = self.model.get_dtype_inference() == torch.float32
        return self.adapters.tensors(torch.float32 if full else torch.bfloat16)

    def save(self, stem, started):
        path = output.free_path(stem)
        title = os.path.splitext(os.path.basename(path))[0]
        metadata = output.metadata(self.settings, self.shape, self.model, self.objective.kind,
                                   len(self.dataset.samples), len(self.losses), started, time.time(), title)
        output.save_checked(path, self.tensors(), metadata, self.model)
        return path
