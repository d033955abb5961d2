"""Training with the critic: from a LoRA and prompts to a LoRA, its file, and pictures before and after."""
from contextlib import ExitStack
from typing import NamedTuple

import comfy.lora_convert
import comfy.model_management
import numpy as np
import torch
from PIL import Image

from ...critique.reference.distributions import Reference
from ...critique.rubric.criteria import Rubric
from ...lora.saving.output_file import file_stem
from ...lora.saving.roundtrip_check import check_loads
from ...training.adapters import LoraShape
from ...training.data.dataset import Sample, TrainingSet, unused_options
from ...training.disk.checkpoint import find_state, load_state, name_of, run_folder
from ...training.disk.checkpoint_schedule import Checkpoints
from ...training.disk.session_state import restore
from ...training.distributed import group_report
from ...training.distributed.joining import note_run
from ...training.distributed.meeting import meet, taking_part
from ...training.distributed.shared_base import shared
from ...training.model.loading import load, load_for_training
from ...training.monitoring.progress import Progress
from ...training.monitoring.sample_critic import as_image
from ...training.monitoring.sample_pictures import decode
from ...training.plan.recipe import OptimizerPlan, Recipe
from ...training.plan.settings import Settings
from ...training.step.retry import attempt
from ...training.step.selfcheck import SelfCheck, self_check
from ...training.stop_and_keep import stoppable
from ...training.training_run import note_branch, note_if_done
from ..cut_short import CANCELLED, CUTS, why_it_ends
from ..sampling import Sampling
from .before_after import JudgedPicture, judge_picture
from .critic_training_session import RewardGoal, RewardSession, TrainingSampler

# Weights would decay towards zero, which is not where a LoRA that goes on started; guidance is that of sampling.
RECIPE = Recipe(optimizer=OptimizerPlan(weight_decay=0.0), guidance=3.5)
HELD_OUT = 10**9    # how far the seeds of held-out pictures lie from those that are trained on
CANCEL = comfy.model_management.InterruptProcessingException


class CriticTrainingRequest(NamedTuple):
    """lora: tensors to go on from, or None for a new one of settings.rank. sampling: of the pictures, by euler.

    held_out: prompts that are not trained on, none for those that are; seeds: pictures of each prompt before and
    after, 0 for none. share_base: each rank keeps a slice of the frozen blocks alone."""
    lora: dict[str, torch.Tensor] | None
    sampling: Sampling
    goal: RewardGoal
    rubric: Rubric
    reference: Reference
    settings: Settings
    name: str
    held_out: list
    seeds: int
    resume: str
    share_base: bool = False


class CriticTrainingResult(NamedTuple):
    """before, after: the same pictures; after has those that were judged before `cut` ended it, none where a cancel
    ended the training. cut: as why_it_ends says it, "" for a whole run."""
    session: RewardSession
    tensors: dict[str, torch.Tensor]
    path: str
    run: str
    before: list[JudgedPicture]
    after: list[JudgedPicture]
    cancelled: bool
    cut: str = ""

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


class PreviewDecoder:
    """What stands for a VAE where none is connected: the host's quick preview of latents."""

    def __init__(self, model):
        self.model = model

    def decode(self, latent):
        return as_image(decode(latent, self.model))


def train(model, request: CriticTrainingRequest, progress: RewardProgress, team=None) -> CriticTrainingResult:
    """Trains and leaves the model as it was. Cancel after the first step ends the training and keeps what there is,
    with a state to resume from; before it, it is a cancel. team: the ranks that share the pictures of a step; rank 0
    alone judges before and after, and writes."""
    sampling = request.sampling
    if sampling.vae is None:
        sampling = sampling._replace(vae=PreviewDecoder(model.model))
    stem = file_stem(request.name)
    with (torch.inference_mode(False), torch.enable_grad(), stoppable(progress.node_id) as asked,
          taking_part(team, asked) as stop_requested, ExitStack() as until_the_end):
        session, state = _prepared(model, request, sampling, progress, team, until_the_end)
        meet(session, team)
        if team and not team.first:
            return _followed(session, progress, stop_requested)
        before, gain = [], group_report.Gain(session.settings.steps)
        if session.base:
            gain.cannot("one device by itself has no whole base")
        with session.as_it_started():
            _judge_pictures(before, session, request, sampling, progress, "before")
        # From here on a cancel takes an empty folder away again.
        checkpoints = Checkpoints(session, stem, run_folder(stem, state), state, progress.warn)
        note_branch(session, checkpoints)
        note_run(checkpoints.run, progress.node_id)
        with checkpoints.rescuing(progress.say, progress.note_state):
            cancelled = _train_steps(session, checkpoints, progress, stop_requested, gain)
            path = _kept(checkpoints, cancelled)
            session.notes += [] if cancelled else group_report.notes(session, team, gain)
        after = []
        cut = CANCELLED if cancelled else _judge_again(after, session, request, sampling, progress)
        return CriticTrainingResult(session, session.tensors(), path, checkpoints.run, before, after, cancelled, cut)


def _judge_again(after, session, request, sampling, progress) -> str:
    """Why it ended before all were judged, "" where it did not: the training is done and saved by then."""
    try:
        _judge_pictures(after, session, request, sampling, progress, "after")
        progress.say(f"{session.step} steps done")
    except CUTS as error:
        why = why_it_ends(error)
        if not why:
            raise
        return why
    return ""


def _followed(session, progress, stop_requested) -> CriticTrainingResult:
    """A rank other than 0 takes the same steps and writes nothing."""
    def one_step():
        with session.training():
            session.take_step()

    while session.step < session.settings.steps and not stop_requested():
        attempt(session, progress, one_step)
    group_report.tell_own(session, session.team)
    return CriticTrainingResult(session, session.tensors(), "", "", [], [], False)


def _prepared(model, request, sampling, progress, team=None, until_the_end=None):
    """(a session that is ready for its first step or its next one, the state it goes on from, None for a new run).
    until_the_end: an ExitStack for what is undone when it is over, needed with a team."""
    prompts = _prompts(sampling, model, request.settings.batch_size)
    lora = None if request.lora is None else comfy.lora_convert.convert_lora(dict(request.lora))
    sampler = TrainingSampler(sampling.negative[0], sampling.steps, sampling.cfg, sampling.scheduler)
    rows = team.rows_at_once(request.settings.batch_size) if team else request.settings.batch_size
    session = RewardSession(load_for_training(model, prompts, rows, request.share_base), prompts, request.settings,
                            request.goal, sampler, LoraShape(rank=request.settings.rank or 16), lora)
    session.team = team
    if request.share_base:
        until_the_end.enter_context(shared(session, team))
    check_loads(session.tensors(), session.model)
    progress.say("checking the gradients")
    check = _checked(session, prompts.samples[0], rows)
    passes = min(request.goal.last_steps, sampling.steps) * (1 if sampling.cfg == 1 else 2)
    tight = (check.saved_bytes * rows * passes
             > comfy.model_management.get_free_memory(session.denoiser.device) / 2)
    session.prepare(check.checkpoint or tight)
    session.begin()
    if session.base:
        session.learn_passes()
    if not request.resume.strip():
        return session, None
    state = find_state(request.resume)
    restore(session, load_state(state), name_of(state))
    return session, state


def _checked(session, sample, rows) -> SelfCheck:
    """The self-check, of rank 0 for all where they share the base."""
    def check():
        return tuple(self_check(session.patcher, session.denoiser, session.objective, session.adapters, sample, rows,
                                session.settings.seed, of=("positive", "the text encoder of that model")))
    return SelfCheck(*(session.base.by_first(check) if session.base else check()))


def _prompts(sampling, model, batch_size):
    """The prompts as the samples of a data set, each as often in an epoch as makes its batches full."""
    empty = torch.zeros_like(sampling.empty_latent(model), dtype=torch.float32)
    samples = [Sample(empty, *entry, repeats=batch_size, name=f"prompt {number}")
               for number, entry in enumerate(sampling.positive, 1)]
    return TrainingSet(samples, unused_options(samples))


def _train_steps(session, checkpoints, progress, stop_requested, gain) -> bool:
    """Steps until the last one, until someone asks to stop, or until a cancel, which is True."""
    steps, every = session.settings.steps, session.settings.recipe.checkpoints.every
    note_if_done(session)

    def one_step():
        with session.training():
            if gain.due(session.team):
                gain.measure(session)
            session.take_step()
        progress.take(session)

    while session.step < steps and not stop_requested():
        try:
            done = attempt(session, progress, one_step)
        except CANCEL:
            session.forget_step()
            if not session.step:
                raise
            if session.team:
                session.team.leave("cancelled", cancelled=True)
            return True
        if done and session.step < steps and (checkpoints.overdue() or every and session.step % every == 0):
            checkpoints.checkpoint()
    if session.step < steps:
        session.notes.append(f"Stopped early, as asked: {session.step} of {steps} steps.")
    return False


def _kept(checkpoints, cancelled) -> str:
    if not cancelled or checkpoints.session.step == checkpoints.session.settings.steps:
        return checkpoints.finish()
    session, path = checkpoints.session, checkpoints.save_lora(f"{checkpoints.stem}_interrupted")
    checkpoints.save_state()
    session.notes.append(f"Cancelled after {session.step} of {session.settings.steps} steps. "
                         f"{checkpoints.how_to_go_on()}")
    return path


def _judge_pictures(found: list[JudgedPicture], session, request, sampling, progress, when) -> None:
    """Adds to found the pictures of `when`, one after another: those that are trained on first, then held-out prompts
    and seeds."""
    pictures = [(False, sampling, prompt, _seed(session, number))
                for prompt in range(sampling.prompts) for number in range(request.seeds)]
    others = sampling._replace(positive=request.held_out or sampling.positive)
    pictures += [(True, others, prompt, _seed(session, HELD_OUT + number))
                 for prompt in range(others.prompts) for number in range(request.seeds)]
    for held, drawing, prompt, seed in pictures:
        progress.say(f"picture {len(found) + 1} of {len(pictures)} {when} the training")
        with session.showing(), torch.inference_mode():
            drawn = drawing.draw(session.patcher, prompt, seed)
        progress.show(session, [_picture(drawn.picture[0, ..., :3].movedim(-1, 0))])
        name = f"held out, prompt {prompt + 1}" if held else f"prompt {prompt + 1}, seed {seed}"
        found.append(judge_picture(drawn, session, request, held, name))
    # A VAE may have pushed it off the device.
    load(session.patcher, session.dataset, session.rows_at_once, aside=session.base is not None)


def _seed(session, number):
    return (session.settings.seed + number) % 2**64


def _picture(pixels: torch.Tensor) -> Image.Image:
    """[3, H, W] in 0..1"""
    small = Image.fromarray((pixels.movedim(0, -1).clamp(0, 1) * 255).round().byte().cpu().numpy().astype(np.uint8))
    scale = max(1, 128 // max(small.size))
    return small.resize((small.width * scale, small.height * scale), Image.Resampling.NEAREST)
