"""One training: a loaded model, its adapters, and everything that a step changes."""
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import comfy.model_management
import torch

from ..adapters import Adapters, LoraShape, attached, build, checkpointed
from ..data.dataset import Lazy, Outline, TrainingSet, mapped, outlines, with_reference
from ..data.read_ahead import reading_ahead
from ..model.base_lora import load_base_lora
from ..model.differentiable import DifferentiableHost, training_mode
from ..model.layers import repeated_blocks
from ..model.loading import load
from ..model.targets import encoders_to_train
from ..monitoring.sample_critic import StepRanking
from ..plan.families import settle
from ..plan.settings import Settings
from .batches import BatchOrder
from .denoiser import Denoiser
from .gradient import Teacher, backward, needs_teacher
from .loss import Objective, prediction_kind
from .optimizers import Optimizer, WeightAverage
from .pairs import base_position, spread_over
from .retry import Memory
from .unheeded import unheeded_references, unheeded_start
from .validation import Measured, Validation, by_source, held_out


class Session:
    """Set up in the order the generator is drawn from: adapters first, then the data's order and each step's noise.

    losses, rates: one number a step so far. cursor: what a step draws from, as it was after the last whole step.
    rewrites: whether steps run with DifferentiableHost, which a model of plain operations can do without. team: the
    ranks that share the rows of a batch (see distributed/team.py), None where this device computes all of them. base:
    the frozen weights where ranks share them (distributed/shared_base.py), None where each has all. ahead: reads the
    files of the next batches meanwhile (see reading_ahead), None where nothing is read. continues: the optimiser of the
    run that is gone on with, "" where one begins."""

    team = base = ahead = None
    continues = ""

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
        self.base_lora = load_base_lora(recipe.base_lora, patcher)
        self.beside = self.base_lora.on if self.base_lora else nullcontext
        self.generator = torch.Generator().manual_seed(settings.seed)
        if self.objective.ignores_pure_noise():
            self.chosen.append((f"nothing is learnt at the last noise level under {recipe.loss.weighting}",
                                "the model has zero terminal SNR, and the weight there is that SNR; weighting none or "
                                "debiased counts it"))
        self.adapters = self._adapters()
        self.teacher = Teacher(self.denoiser, self.adapters)
        self._make_optimizer()
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.validated: list[Measured] = []
        self.step_ranking: StepRanking | None = None
        self.seconds, self.rewrites = 0.0, True
        self.notes = [*self.base_lora.notes] if self.base_lora else []

    def _adapters(self) -> Adapters:
        return build(self.shape, self.model, self.patcher.load_device, self.generator, self.denoiser.encoders)

    def leave_out_audio(self, unreached: Collection[str]) -> None:
        """Drops adapters of layers for sound, which pictures and silent videos do not reach; before prepare().

        Other layers that one step does not reach may be reached by the next, such as experts a router picks from."""
        silent = [name for name in unreached if "audio" in name.lower()]
        if not silent:
            return
        self.notes.append(f"{len(silent)} of {len(self.adapters.layers)} layers are for sound, which the data set does "
                          f"not have; they are left out of the LoRA (the first is {silent[0]}).")
        self.adapters.leave_out(silent)
        self._make_optimizer()

    def _make_optimizer(self) -> None:
        recipe = self.settings.recipe
        self.optimizer = Optimizer(self.adapters, recipe.optimizer, self.settings.learning_rate)
        kept = recipe.ema or recipe.ema_length
        self.average = WeightAverage(self.adapters.flat, recipe.ema, recipe.ema_length) if kept else None
        second = recipe.second_ema_length
        self.second_average = WeightAverage(self.adapters.flat, 0.0, second) if second else None

    def prepare(self, checkpoint: bool) -> None:
        """Encodes the data set; checkpoint: recompute the blocks in the backward. Honours Cancel between samples."""
        known = _small(outlines(self.dataset.samples))
        learnt, held = self._split(known)
        self.learnt = learnt
        # A set that lies on disk stays there: each of its pictures is encoded when a step asks for it.
        is_lazy = isinstance(self.dataset.samples, Lazy)
        self.samples = Lazy(len(learnt), lambda number: self._encode_again(learnt[number])) if is_lazy else [
            self._encode(i) for i in learnt]
        self.order = BatchOrder([known[i].shape for i in learnt], self.settings.batch_size, self.generator,
                                [known[i].repeats for i in learnt])
        self.names = [known[i].name or str(i + 1) for i in learnt]
        plan = self.settings.recipe.validation
        self.validation = Validation(self.denoiser, self.objective, [self._encode(i) for i in held], plan.quantiles,
                                     self.settings.seed, self.teacher) if held else None
        self._look_at_pairs([number for number, i in enumerate(learnt) if known[i].is_pair])
        self._look_for_unheeded(known)
        self.memory = Memory(self.patcher, self.rows_at_once, checkpoint)
        self.cursor = self._cursor()

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Within it a thread reads what the next batches need of a set that lies on disk."""
        read = getattr(self.dataset.samples, "read_ahead", None)
        try:
            with reading_ahead(read and (lambda number: read(self.learnt[number]))) as self.ahead:
                yield
        finally:
            self.ahead = None
            if read:
                read(None)      # mapped files of pictures whose turn did not come

    def _split(self, known: list[Outline]):
        """(indices to learn from, indices to validate on): spread over the set, regularisation pictures never. What
        shows the same as those is not learnt either."""
        groups, count = by_source(known), self.settings.recipe.validation.pictures
        if count >= len(groups):
            raise ValueError(f"validation_pictures: expected fewer than the {len(groups)} pictures of the data set, "
                             f"got {count}.")
        held = held_out(known, count) if count else []
        first = {*held}
        left_out = {i for group in groups if group[0] in first for i in group}
        return [i for i in range(len(known)) if i not in left_out], held

    def _look_at_pairs(self, pairs: list[int]):
        if not pairs:
            return
        looked_at = [self.samples[number] for number in spread_over(pairs)]
        with self.beside():
            stands = base_position(self.teacher, self.objective, looked_at, self.settings.seed)
        self.teacher.reach = 1 + abs(stands)
        nearer = "what comes before" if stands > 0 else "what comes after"
        self.chosen.append((
            f"{len(pairs)} pairs: strength 1 goes {self.teacher.reach:.2f} times half of the change, -1 as far back",
            f"the untrained model is {abs(stands):.0%} of the way from the middle to {nearer}"))

    def _look_for_unheeded(self, known: list[Outline]):
        """Notes what of the data set this model takes no notice of."""
        samples = self.dataset.samples
        having = [i for i, each in enumerate(known) if each.has_reference]
        self.notes += unheeded_references(self.model, self.denoiser, samples, having)
        clip = next((i for i in self.learnt if len(known[i].shape) == 5 and known[i].shape[2] > 1), None)
        if clip is not None:
            self.notes += unheeded_start(self.model, samples[clip], lambda: self._encode(clip))

    def _encode(self, index):
        comfy.model_management.throw_exception_if_processing_interrupted()
        sample = self.dataset.samples[index]
        dropout = self.dataset.caption_dropout and not sample.lesson    # a lesson is about its own prompt
        sample = sample._replace(weight=sample.weight * self._regularisation(sample))
        empty = self.dataset.empty and (self.dataset.empty[0], with_reference(self.dataset.empty[1], sample))
        return self.denoiser.encode(sample, empty if dropout else None)

    def _encode_again(self, index):
        """The same in the middle of a training: without adapters, and with the model where it was, should the VAE have
        pushed it away to make a damaged entry anew."""
        loaded = self.patcher.loaded_size()
        with self.adapters.at(0.0):
            encoded = self._encode(index)
        if self.patcher.loaded_size() < loaded:
            load(self.patcher, self.dataset, self.rows_at_once, aside=self.base is not None)
        return encoded

    def weigh(self, weights: list[float]) -> None:
        """Lets each sample of the data set count as another rank says."""
        count = lambda each, i: each._replace(weight=weights[i])  # noqa: E731
        self.dataset = self.dataset._replace(samples=mapped(self.dataset.samples, count, count))
        if not isinstance(self.samples, Lazy):
            known = list(outlines(self.dataset.samples))
            self.samples = [sample._replace(weight=known[i].weight * self._regularisation(known[i]))
                            for sample, i in zip(self.samples, self.learnt, strict=True)]

    def _regularisation(self, sample):
        return self.settings.recipe.loss.regularisation if sample.is_regularisation else 1.0

    @property
    def rows_at_once(self) -> int:
        """Most pictures that this device computes in one go."""
        return self.team.rows_at_once(self.settings.batch_size) if self.team else self.settings.batch_size

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
                self.memory.watched(), self.memory.swapping(), \
                checkpointed(blocks) if self.memory.checkpoint else nullcontext(), \
                DifferentiableHost() if self.rewrites or self.memory.checkpoint else nullcontext(), self.beside():
            yield

    @contextmanager
    def showing(self) -> Iterator[None]:
        """The model with the weights that would be kept now, for sampling and validation."""
        with self.kept_weights(), attached(
                self.model.diffusion_model, self.adapters, self.denoiser.device, self.denoiser.encoders):
            yield

    def whole_base(self):
        """Within it the frozen weights can be read, where ranks share them."""
        return self.base.slices.whole() if self.base else nullcontext()

    @contextmanager
    def kept_weights(self) -> Iterator[None]:
        """The adapters as they would be saved: averaged where the recipe says so."""
        with self.average.swapped_in() if self.average else self.optimizer.evaluating():
            yield

    @property
    def kept_length(self) -> float:
        """sigma_rel of the power-function average that kept_weights gives; 0 where it is none over every step."""
        whole = self.average is not None and self.average.updates == self.step
        return self.settings.recipe.ema_length if whole else 0.0

    @property
    def averages(self) -> list[WeightAverage]:
        return [each for each in (self.average, self.second_average) if each]

    def aim(self) -> dict[str, str]:
        """What a run is for besides its pictures, by the names of inputs: a state of another aim is not its own.

        What a person cannot read stands after a #."""
        return {}

    def take_step(self) -> None:
        """One update. Raises FloatingPointError, with the step before it undone, when the loss is no number."""
        began = time.perf_counter()
        losses, shown = self.add_gradient()
        loss, norm = self._summed(losses)
        if not math.isfinite(loss + norm):
            self._undo()
            raise FloatingPointError(
                f"Training stopped at step {self.step + 1} of {self.settings.steps}: its loss is {loss:g} and its "
                f"gradient norm {norm:g}, on picture {', '.join(self.names[i] for i in shown)}. "
                "Try a lower learning_rate.")
        rate = self.settings.rate(self.step)
        self.optimizer.step(rate, norm)
        for average in self.averages:
            average.update()
        self.losses.append(loss)
        self.rates.append(rate)
        self.seconds += time.perf_counter() - began
        self.cursor = self._cursor()
        if self.team:
            self.team.summed = False

    def add_gradient(self) -> tuple[list[torch.Tensor], list[int]]:
        """Draws the next step's batches and adds their gradient to the adapters'. Returns the loss of each batch, as
        far as this device computes it, and the pictures that were shown."""
        losses, shown, accumulation = [], [], self.settings.recipe.optimizer.accumulation
        if self.team:
            self.team.begin(self.adapters.flat.grad)
        if self.base:
            self.base.begin_step()
        for _ in range(accumulation):
            chosen = next(self.order)
            if self.ahead:
                self.ahead(chosen, self.order.left)
            shown += chosen
            losses.append(self._backward([self._dressed(self.samples[i]) for i in chosen], 1 / accumulation))
        return losses, shown

    def _summed(self, losses) -> tuple[float, float]:
        """The step's loss and the norm of its gradient, over all devices."""
        if self.team:
            if self.base:
                self.base.end_step()
            return self.team.agree(self.adapters.flat.grad)
        return tuple(torch.stack([torch.stack(losses).mean(), self.optimizer.norm()]).tolist())

    def _over_rows(self, rows: int, share: float, work: Callable[[slice], torch.Tensor]) -> torch.Tensor:
        """work(rows of a batch), for those that this device computes. It returns the batch's loss and what else the
        devices sum, as far as these rows make it."""
        if not self.team:
            return work(slice(0, rows))
        return self.team.over_rows(self.adapters.flat.grad, rows, share, work)

    def _undo(self):
        self.optimizer.undo()
        for average in self.averages:
            if not average.mean.isfinite().all():
                average.mean.copy_(self.adapters.flat)

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

        def part(rows):
            mine = [self.denoiser.fresh(sample) for sample in batch[rows]]
            return backward(self.denoiser, self.objective, mine, noise[rows], sigma[rows], self.memory.rows, share,
                            teacher, len(batch))

        with self.adapters.dropping(self.generator):
            if self.base:
                return self.base.over_rows(self, batch, share, part, lambda: backward(
                    self.denoiser, self.objective, [self.denoiser.fresh(batch[0])], noise[:1], sigma[:1], share=0.0))
            return self._over_rows(len(batch), share, part)

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

    def times_shown(self) -> tuple[float, float]:
        """How often the steps so far have shown the picture of the fewest and of the most repeats, on average."""
        epochs = self.step * self.settings.recipe.optimizer.accumulation / self.order.batches
        repeats = Counter(self.order.shown).values()
        return min(repeats) * epochs, max(repeats) * epochs

    @property
    def best_step(self) -> int | None:
        """The step whose weights a critic prefers to the last ones, if there is one."""
        best = self.step_ranking
        return None if best is None or best.weights is None or best.step == self.step else best.step

    def tensors(self, best: bool = False) -> dict[str, torch.Tensor]:
        """The LoRA to keep; best: of best_step, where there is one."""
        chosen = best and self.best_step is not None
        with self.step_ranking.swapped_in(self.adapters.flat) if chosen else self.kept_weights():
            return self.adapters.tensors(self.file_dtype)

    @property
    def file_dtype(self) -> torch.dtype:
        """Half-precision models get a bf16 file: they cannot use more, and it is half the size."""
        return torch.float32 if self.model.get_dtype_inference() == torch.float32 else torch.bfloat16


def _small(known: Iterable[Outline]) -> list[Outline]:
    """Outlines without what only some ask for, and shapes that are the same held once: a large set has many."""
    shapes = {}
    return [each._replace(identity="", text=None, shape=shapes.setdefault(each.shape, each.shape)) for each in known]
