"""Training with the critic: from a LoRA and prompts to a LoRA, its file, and pictures before and after."""
from contextlib import suppress
from typing import NamedTuple

import comfy.lora_convert
import comfy.model_management
import numpy as np
import torch
from PIL import Image

from ...critique.criteria import Rubric
from ...critique.reference import Reference
from ...lora.saving.output import file_stem
from ...lora.saving.proof import check_loads
from ...training.adapters import LoraShape
from ...training.data.dataset import Sample, TrainingSet, unused_options
from ...training.disk.checkpoint import find_state, load_state, state_folder, take_run
from ...training.disk.keeping import Keeper
from ...training.disk.state import restore
from ...training.plan.recipe import OptimizerPlan, Recipe
from ...training.plan.settings import Settings
from ...training.run import load, load_for_training
from ...training.seen.critic import as_image
from ...training.seen.decoding import decode
from ...training.seen.progress import Progress
from ...training.step.retry import attempt
from ...training.step.selfcheck import self_check
from ...training.stop import stoppable
from ..sampling import Sampling
from .before_after import Measured, measure
from .session import Course, Goal, RewardSession

# Weights would decay towards zero, which is not where a LoRA that goes on started; guidance is that of sampling.
RECIPE = Recipe(optimizer=OptimizerPlan(weight_decay=0.0), guidance=3.5)
HELD_OUT = 10**9    # how far the seeds of held-out pictures lie from those that are trained on
CANCEL = comfy.model_management.InterruptProcessingException


class Asked(NamedTuple):
    """lora: tensors to go on from, or None for a new one of settings.rank. sampling: of the pictures, by euler.

    held_out: prompts that are not trained on, none for those that are; seeds: pictures of each prompt before and
    after, 0 for none."""
    lora: dict[str, torch.Tensor] | None
    sampling: Sampling
    goal: Goal
    rubric: Rubric
    reference: Reference
    settings: Settings
    name: str
    held_out: list
    seeds: int
    resume: str


class Trained(NamedTuple):
    """before, after: the same pictures; after has those that a cancel left time for, none where it ended the training.
    """
    session: RewardSession
    tensors: dict[str, torch.Tensor]
    path: str
    run: str
    before: list[Measured]
    after: list[Measured]
    cancelled: bool

    @property
    def loss_map(self) -> dict:
        """A LOSS_MAP as Train LoRA gives it."""
        return {"loss": self.session.losses, "learning_rate": self.session.rates, "validation": []}


class RewardProgress(Progress):
    """Says what the last pictures earned before anything else, and shows them."""

    def take(self, session: RewardSession) -> None:
        self.points = session.points
        self.pictures = [_picture(one) for one in session.seen[:4]]
        self.update(session)

    def text(self, losses, seconds, rate):
        return f"reward {self.points:.1f}  {super().text(losses, seconds, rate)}"


class Preview:
    """What stands for a VAE where none is connected: the host's quick preview of latents."""

    def __init__(self, model):
        self.model = model

    def decode(self, latent):
        return as_image(decode(latent, self.model))


def train(model, asked: Asked, progress: RewardProgress) -> Trained:
    """Trains and leaves the model as it was. Cancel after the first step ends the training and keeps what there is,
    with a state to resume from; before it, it is a cancel."""
    sampling = asked.sampling
    if sampling.vae is None:
        sampling = sampling._replace(vae=Preview(model.model))
    stem = file_stem(asked.name)
    with torch.inference_mode(False), torch.enable_grad(), stoppable(progress.node_id) as asked_to_stop:
        session, run = _prepared(model, asked, sampling, progress)
        before = []
        with session.as_it_started():
            _measure(before, session, asked, sampling, progress, "before")
        keeper = Keeper(session, stem, run or take_run(stem))   # from here on a cancel takes an empty folder away again
        with keeper.rescuing(progress.say):
            cancelled = _climb(session, keeper, progress, asked_to_stop)
        path, after = _kept(keeper, cancelled), []
        if not cancelled:
            with suppress(CANCEL):              # the training is done by then
                _measure(after, session, asked, sampling, progress, "after")
                progress.say(f"{session.step} steps done")
        return Trained(session, session.tensors(), path, keeper.run, before, after, cancelled)


def _prepared(model, asked, sampling, progress):
    """(a session that is ready for its first step or its next one, the run that goes on, "" for a new one)."""
    prompts = _prompts(sampling, model, asked.settings.batch_size)
    lora = None if asked.lora is None else comfy.lora_convert.convert_lora(dict(asked.lora))
    course = Course(sampling.negative[0], sampling.steps, sampling.cfg, sampling.scheduler)
    session = RewardSession(load_for_training(model, prompts, asked.settings), prompts, asked.settings, asked.goal,
                            course, LoraShape(rank=asked.settings.rank or 16), lora)
    check_loads(session.tensors(), session.model)
    progress.say("checking the gradients")
    check = self_check(session.patcher, session.denoiser, session.objective, session.adapters, prompts.samples[0],
                       asked.settings.batch_size, asked.settings.seed)
    passes = min(asked.goal.last_steps, sampling.steps) * (1 if sampling.cfg == 1 else 2)
    tight = (check.saved_bytes * asked.settings.batch_size * passes
             > comfy.model_management.get_free_memory(session.denoiser.device) / 2)
    session.prepare(check.checkpoint or tight)
    session.begin()
    if not asked.resume.strip():
        return session, ""
    state = find_state(asked.resume)
    restore(session, load_state(state), f"{state.parent.name}/{state.stem}")
    own = state_folder(state.parent.name) == state.parent
    return session, state.parent.name if own else ""


def _prompts(sampling, model, batch_size):
    """The prompts as the samples of a data set, each as often in an epoch as makes its batches full."""
    empty = torch.zeros_like(sampling.empty(model), dtype=torch.float32)
    samples = [Sample(empty, *entry, repeats=batch_size, name=f"prompt {number}")
               for number, entry in enumerate(sampling.positive, 1)]
    return TrainingSet(samples, unused_options(samples))


def _climb(session, keeper, progress, asked_to_stop) -> bool:
    """Steps until the last one, until someone asks to stop, or until a cancel, which is True."""
    steps, every = session.settings.steps, session.settings.recipe.checkpoints.every

    def one_step():
        with session.training():
            session.take_step()
        progress.take(session)

    while session.step < steps and not asked_to_stop():
        try:
            done = attempt(session, progress, one_step)
        except CANCEL:
            session.forget_step()
            if not session.step:
                raise
            return True
        if done and session.step < steps and (keeper.overdue() or every and session.step % every == 0):
            keeper.checkpoint()
    if session.step < steps:
        session.notes.append(f"Stopped early, as asked: {session.step} of {steps} steps.")
    return False


def _kept(keeper, cancelled) -> str:
    if not cancelled or keeper.session.step == keeper.session.settings.steps:
        return keeper.finish()
    path = keeper.save_lora(f"{keeper.stem}_interrupted")
    keeper.save_state()
    keeper.session.notes.append(f"Cancelled after {keeper.session.step} of {keeper.session.settings.steps} steps. "
                                f"{keeper.how_to_go_on()}")
    return path


def _measure(found: list[Measured], session, asked, sampling, progress, when) -> None:
    """Adds to found the pictures of `when`, one after another: those that are trained on first, then held-out prompts
    and seeds."""
    pictures = [(False, sampling, prompt, _seed(session, number))
                for prompt in range(sampling.prompts) for number in range(asked.seeds)]
    others = sampling._replace(positive=asked.held_out or sampling.positive)
    pictures += [(True, others, prompt, _seed(session, HELD_OUT + number))
                 for prompt in range(others.prompts) for number in range(asked.seeds)]
    for held, course, prompt, seed in pictures:
        progress.say(f"picture {len(found) + 1} of {len(pictures)} {when} the training")
        with session.showing(), torch.inference_mode():
            drawn = course.draw(session.patcher, prompt, seed)
        progress.show(session, [_picture(drawn.picture[0, ..., :3].movedim(-1, 0))])
        name = f"held out, prompt {prompt + 1}" if held else f"prompt {prompt + 1}, seed {seed}"
        found.append(measure(drawn, session, asked, held, name))
    load(session.patcher, session.dataset, session.settings)    # a VAE may have pushed it off the device


def _seed(session, number):
    return (session.settings.seed + number) % 2**64


def _picture(pixels: torch.Tensor) -> Image.Image:
    """[3, H, W] in 0..1"""
    small = Image.fromarray((pixels.movedim(0, -1).clamp(0, 1) * 255).round().byte().cpu().numpy().astype(np.uint8))
    scale = max(1, 128 // max(small.size))
    return small.resize((small.width * scale, small.height * scale), Image.Resampling.NEAREST)
