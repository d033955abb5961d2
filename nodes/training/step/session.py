"""One training: a loaded model, its adapters, and everything that a step changes."""
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import comfy.model_management
import torch

from ..adapters import Adapters, LoraShape, attached, build, checkpointed
from ..data.dataset import REFERENCE, TrainingSet, with_reference
from ..model.differentiable import DifferentiableHost, training_mode
from ..model.encoders import encoders_to_train
from ..model.layers import repeated_blocks
from ..plan.families import settle
from ..plan.settings import Settings
from ..seen.critic import Favourite
from .batches import Order
from .denoiser import Denoiser
from .ema import Average
from .gradient import Teacher, backward, needs_teacher
from .memory import Memory
from .objective import Objective, prediction_kind
from .optimizers import Optimizer
from .pairs import place
from .validation import Measured, Validation


class Session:
    """Set up in the order the generator is drawn from: adapters first, then the data's order and each step's noise.

    losses, rates: one number a step so far. cursor: what a step draws from, as it was after the last whole step.
    rewrites: whether steps run with DifferentiableHost, which a model of plain operations can do without."""

    def __init__(self, patcher, dataset: TrainingSet, settings: Settings, shape: LoraShape | None,
                 clip=None):
        sampling = patcher.get_model_object("model_sampling")
        self.patcher, self.model, self.dataset = patcher, patcher.model, dataset
        if shape:
            settings = replace(settings, rank=shape.rank)
        self.settings, self.chosen = settle(settings, self.model, prediction_kind(sampling) == "flow")
        self.shape = shape or LoraShape(rank=self.settings.rank)
        recipe = self.settings.recipe
        self.objective = Objective(sampling, recipe.timesteps, recipe.loss)
        trained_clip = encoders_to_train(clip, self.shape.targets, dataset, patcher.load_device)
        self.denoiser = Denoiser(patcher, recipe.guidance, trained_clip)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.adapters = self._adapters()
        self.teacher = Teacher(self.denoiser, self.adapters)
        self.optimizer = Optimizer(self.adapters, recipe.optimizer)
        self.average = Average(self.adapters.flat, recipe.ema) if recipe.ema else None
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.validated: list[Measured] = []
        self.favourite: Favourite | None = None
        self.seconds, self.notes, self.rewrites = 0.0, [], True

    def _adapters(self) -> Adapters:
        return build(self.shape, self.model, self.patcher.load_device, self.generator, self.denoiser.encoders)

    def prepare(self, checkpoint: bool) -> None:
        """Encodes the data set; checkpoint: recompute the blocks in the backward. Honours Cancel between samples."""
        learnt, held = self._split()
        self.samples = [self._encode(i) for i in learnt]
        self.order = Order([tuple(s.latent.shape) for s in self.samples], self.settings.batch_size, self.generator,
                           [self.dataset.samples[i].repeats for i in learnt])
        self.names = [self.dataset.samples[i].name or str(i + 1) for i in learnt]
        plan = self.settings.recipe.validation
        self.validation = Validation(self.denoiser, self.objective, [self._encode(i) for i in held], plan.quantiles,
                                     self.settings.seed, self.teacher) if held else None
        self._look_at_pairs()
        self._look_at_references()
        self.memory = Memory(self.patcher, self.settings.batch_size, checkpoint)
        self.cursor = self._cursor()

    def _split(self):
        """(indices to learn from, indices held out): spread over the set, regularisation pictures never."""
        own = [i for i, sample in enumerate(self.dataset.samples) if not sample.is_regularisation]
        count = self.settings.recipe.validation.pictures
        if count >= len(own):
            raise ValueError(f"validation_pictures: expected fewer than the {len(own)} pictures of the data set, "
                             f"got {count}.")
        held = {own[(2 * i + 1) * len(own) // (2 * count)] for i in range(count)}
        return [i for i in range(len(self.dataset.samples)) if i not in held], sorted(held)

    def _look_at_pairs(self):
        pairs = [sample for sample in self.samples if sample.before is not None]
        if not pairs:
            return
        stands = place(self.teacher, self.objective, pairs, self.settings.seed)
        self.teacher.reach = 1 + abs(stands)
        nearer = "what comes before" if stands > 0 else "what comes after"
        self.chosen.append((
            f"{len(pairs)} pairs: strength 1 goes {self.teacher.reach:.2f} times half of the change, -1 as far back",
            f"the untrained model is {abs(stands):.0%} of the way from the middle to {nearer}"))

    def _look_at_references(self):
        having = [sample for sample in self.dataset.samples if REFERENCE in sample.options]
        if having and self.denoiser.ignores_reference(having[0]):
            self.notes.append(f"{len(having)} of {len(self.dataset.samples)} pictures have a reference, which "
                              f"{type(self.model).__name__} takes no notice of: it is not an editing model.")

    def _encode(self, index):
        comfy.model_management.throw_exception_if_processing_interrupted()
        sample, dropout = self.dataset.samples[index], self.dataset.caption_dropout
        if sample.is_regularisation:
            sample = sample._replace(weight=sample.weight * self.settings.recipe.loss.regularisation)
        empty = self.dataset.empty and (self.dataset.empty[0], with_reference(self.dataset.empty[1], sample))
        return self.denoiser.encode(sample, empty if dropout else None)

    @property
    def step(self) -> int:
        """Steps that are done."""
        return len(self.losses)

    @contextmanager
    def training(self) -> Iterator[None]:
        """The model as it trains; all of it is undone on exit."""
        network = self.model.diffusion_model
        blocks = [block for _, block in repeated_blocks(network)]
        with training_mode(self.patcher), attached(
                network, self.adapters, self.denoiser.device, self.denoiser.encoders), \
                checkpointed(blocks) if self.memory.checkpoint else nullcontext(), \
                DifferentiableHost() if self.rewrites or self.memory.checkpoint else nullcontext():
            yield

    @contextmanager
    def showing(self) -> Iterator[None]:
        """The model with the weights that would be kept now, for sampling and validation."""
        with self.kept_weights(), attached(
                self.model.diffusion_model, self.adapters, self.denoiser.device, self.denoiser.encoders):
            yield

    @contextmanager
    def kept_weights(self) -> Iterator[None]:
        """The adapters as they would be saved: averaged where the recipe says so."""
        with self.average.swapped_in() if self.average else self.optimizer.evaluating():
            yield

    def aim(self) -> dict[str, str]:
        """What a run is for besides its pictures, by the names of inputs: a state of another aim is not its own.

        What a person cannot read stands after a #."""
        return {}

    def take_step(self) -> None:
        """One update. Raises FloatingPointError, with the step before it undone, when the loss is no number."""
        began, plan = time.perf_counter(), self.settings.recipe.optimizer
        losses, shown = [], []
        for _ in range(plan.accumulation):
            chosen = next(self.order)
            shown += chosen
            losses.append(self._backward([self._dressed(self.samples[i]) for i in chosen], 1 / plan.accumulation))
        loss, norm = torch.stack([torch.stack(losses).mean(), self.optimizer.norm()]).tolist()
        if not math.isfinite(loss + norm):
            self._undo()
            raise FloatingPointError(
                f"Training stopped at step {self.step + 1} of {self.settings.steps}: its loss is {loss:g} and its "
                f"gradient norm {norm:g}, on picture {', '.join(self.names[i] for i in shown)}. "
                "Try a lower learning_rate.")
        rate = self.settings.rate(self.step)
        self.optimizer.step(rate, norm)
        if self.average:
            self.average.update()
        self.losses.append(loss)
        self.rates.append(rate)
        self.seconds += time.perf_counter() - began
        self.cursor = self._cursor()

    def _undo(self):
        self.optimizer.undo()
        if self.average and not self.average.mean.isfinite().all():
            self.average.mean.copy_(self.adapters.flat)

    def forget_step(self) -> None:
        """Takes back what a step that did not end has drawn and added up."""
        self.adapters.flat.grad.zero_()
        self.rewind(self.cursor)

    def _backward(self, batch, share):
        noise = [self.objective.draw_noise(sample.latent, self.generator) for sample in batch]
        tokens = math.prod(batch[0].latent.shape[2:]) // 4
        sigma = self.objective.draw_sigmas(len(batch), self.generator, tokens)
        taught = self.settings.recipe.loss.outside_mask or any(needs_teacher(sample) for sample in batch)
        teacher = self.teacher if taught else None
        with self.adapters.dropping(self.generator):
            batch = [self.denoiser.fresh(sample) for sample in batch]
            return backward(self.denoiser, self.objective, batch, noise, sigma, self.memory.rows, share, teacher)

    def _dressed(self, sample):
        """The sample with the caption of this draw."""
        if self.dataset.caption_dropout and sample.empty:
            if torch.rand((), generator=self.generator).item() < self.dataset.caption_dropout:
                return sample._replace(conds=sample.empty)
        if sample.variants:
            number = torch.randint(1 + len(sample.variants), (), generator=self.generator).item()
            return sample if number == 0 else sample._replace(conds=sample.variants[number - 1])
        return sample

    def _cursor(self):
        return {"generator": self.generator.get_state(), "order": list(self.order.left),
                "strata": list(self.objective.levels.left)}

    def rewind(self, cursor: dict) -> None:
        self.generator.set_state(cursor["generator"])
        self.order.left, self.objective.levels.left = list(cursor["order"]), list(cursor["strata"])
        self.cursor = cursor

    @property
    def best_step(self) -> int | None:
        """The step whose weights a critic prefers to the last ones, if there is one."""
        best = self.favourite
        return None if best is None or best.weights is None or best.step == self.step else best.step

    def tensors(self, best: bool = False) -> dict[str, torch.Tensor]:
        """The LoRA to keep; best: of best_step, where there is one. Half-precision models get a bf16 file: they cannot
        use more, and it is half the size."""
        full = self.model.get_dtype_inference() == torch.float32
        chosen = best and self.best_step is not None
        with self.favourite.swapped_in(self.adapters.flat) if chosen else self.kept_weights():
            return self.adapters.tensors(torch.float32 if full else torch.bfloat16)
