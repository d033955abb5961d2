"""A training run from a model and a data set to a checked LoRA file."""
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import folder_paths
import torch

from ..lora.block_weights.block_language import shorten
from ..lora.file.lora_files import read_lora
from ..lora.saving.output_file import file_stem
from ..lora.saving.roundtrip_check import check_loads
from ..shared.full_memory import is_memory_full
from .adapters import LoraShape
from .data.dataset import TrainingSet, outlines
from .disk.checkpoint import SAMPLES, find_state, is_path, load_state, name_of, run_folder, shown, state_folder
from .disk.checkpoint_schedule import Checkpoints
from .disk.session_state import optimizer_of, restore
from .distributed import group_report
from .distributed.joining import note_run
from .distributed.meeting import meet, taking_part
from .distributed.shared_base import shared
from .distributed.team import Team
from .model.loading import check_sizes, check_videos, load, load_for_training
from .monitoring import sample_critic as critics
from .monitoring.progress import Progress
from .monitoring.sample_pictures import Samples
from .plan.distilled import for_distilled
from .plan.experts import for_expert
from .plan.settings import Settings
from .step.denoiser import is_guidance_distilled
from .step.loss import Objective
from .step.memory_plan import MemoryPlan
from .step.prediction import for_prediction
from .step.retry import attempt
from .step.selfcheck import SelfCheck, check_prompts, self_check
from .step.session import Session
from .step.small_moments import follow
from .step.validation import Measured
from .stop_and_keep import stoppable
from .training_health import Health


class Trained(NamedTuple):
    """tensors: the LoRA; settings: without gaps, and chosen: (what, why) for each gap that was filled; notes: what a
    person should know. losses and rates hold one number a step, those before a resume included. step_ranking: of a
    critic, and picture_weights: the pictures of the data set as it sees them. state: what resume calls the newest one,
    "" where there is none. learnt: how many pictures were not held out; times_shown: the least and the most often that
    one of them was, about. convolutions: how many of the layers are such."""
    tensors: dict[str, torch.Tensor]
    losses: list[float]
    path: str
    seconds_a_step: float
    check: SelfCheck
    objective: Objective
    shape: LoraShape
    layers: int
    parameters: int
    settings: Settings
    chosen: list[tuple[str, str]]
    notes: list[str]
    rates: list[float]
    validated: list[Measured]
    state: str
    checkpointed: bool
    ranks: tuple[int, int]
    step_ranking: critics.StepRanking | None = None
    picture_weights: tuple[critics.PictureWeight, ...] = ()
    memory_plan: MemoryPlan | None = None
    learnt: int = 0
    times_shown: tuple[float, float] = (0.0, 0.0)
    convolutions: int = 0

    @property
    def loss_map(self) -> dict:
        """A LOSS_MAP: `loss` as the host's nodes read it, and what only Training Chart knows."""
        return {"loss": self.losses, "learning_rate": self.rates,
                "validation": [(m.step, m.loss) for m in self.validated],
                "critique": self.step_ranking.points if self.step_ranking else []}


def train(patcher, dataset: TrainingSet, settings: Settings, name: str, progress: Progress,
          shape: LoraShape | None = None, sample_prompts: list | None = None, resume: str = "", vae=None,
          clip=None, critic: critics.Critic | None = None, critic_weighting: float = 0.0,
          team: Team | None = None, share_base: bool = False) -> Trained:
    """Trains a LoRA on the model and leaves the model as it was, whatever happens. shape None: LoRA of settings.rank.

    resume: "" or what checkpoint.find_state takes, or a LoRA to start from. A run that is cancelled or fails after its
    first step leaves <name>_interrupted.safetensors and a state to go on from. critic: judges the sample pictures, and
    the best step's LoRA is the result; with critic_weighting it also says what each picture counts. team: the ranks
    that train it together, of which rank 0 alone draws, validates and writes; share_base: each keeps a slice of the
    frozen blocks alone. Raises ValueError for inputs that cannot
    be trained on or continued from and FloatingPointError when the loss stops being finite."""
    critics.check(critic, sample_prompts, critic_weighting, patcher.model, vae)
    expert = for_expert(settings, patcher)
    settings, as_used, distilled = for_distilled(expert.settings, patcher)
    patcher, settings, predicted = for_prediction(patcher, settings, dataset)
    stem = file_stem(name).removesuffix(expert.ending) + expert.ending
    picture_weights = []
    if critic_weighting:
        progress.say("criticising the data set")
        dataset, picture_weights = critics.weigh(dataset, critic, critic_weighting, patcher.model, vae)
    # The executor runs in inference mode, whose tensors cannot take part in a backward; a state's must not be such.
    check_videos(dataset, patcher.model)
    check_sizes(dataset, patcher.model)
    with (torch.inference_mode(False), torch.enable_grad(), stoppable(progress.node_id) as asked,
          taking_part(team, asked) as asked_to_stop, ExitStack() as until_the_end):
        begin, state, optimizer = _starting_point(resume)
        rows = team.rows_at_once(settings.batch_size) if team else settings.batch_size
        session = Session(load_for_training(patcher, dataset, rows, share_base), dataset, settings, shape, clip)
        session.team = team
        follow(session, optimizer)
        if share_base:
            until_the_end.enter_context(shared(session, team))
        session.chosen += [*expert.chosen, *predicted, *(as_used if sample_prompts else ())]
        session.notes += [*distilled, *(expert.notes if sample_prompts else ())]
        check_loads(session.tensors(), session.model, session.denoiser.encoders)
        progress.say("checking the gradients")
        check = _checked(session, rows, sample_prompts or ())
        session.leave_out_audio(check.unreached)
        progress.say("encoding the data set")
        session.rewrites = check.rewrites
        session.prepare(check.checkpoint)
        session.memory.saved_bytes = check.saved_bytes
        if session.base:
            session.base.learn(session)
        else:
            progress.say("planning the memory")
            session.memory.plan_ahead(session)
            if session.memory.plan:
                progress.say(session.memory.plan.sentence())
        session.step_ranking = critics.StepRanking(critic) if critic and sample_prompts else None
        if critic and vae is None:
            session.notes.append("The critic saw quick previews of latents. Connect vae to have it judge pictures.")
        begin(session)
        meet(session, team)
        until_the_end.enter_context(session.reading_ahead())
        if team and not team.first:
            return _follow(session, check, progress, asked_to_stop)
        checkpoints = Checkpoints(session, stem, run_folder(stem, state), state, progress.warn)
        note_branch(session, checkpoints)
        note_run(checkpoints.run, progress.node_id)
        samples = _samples(session, sample_prompts, vae, checkpoints.run)
        gain = group_report.Gain(settings.steps)
        if session.base:
            gain.cannot("one device by itself has no whole base")
        until_the_end.callback(session.memory.settle_down)
        with checkpoints.rescuing(progress.say, progress.note_state):
            _run_steps(session, checkpoints, samples, progress, asked_to_stop, gain)
            path = checkpoints.finish()
        progress.say(f"{session.step} of {settings.steps} steps done")     # instead of what it did last
        session.notes += group_report.notes(session, team, gain)
        newest = name_of(checkpoints.newest) if checkpoints.newest else ""
        return _result(session, check, path, newest, tuple(picture_weights))


def _checked(session, rows, prompts) -> SelfCheck:
    """The self-check, of rank 0 for all where they share the base, and that of the sample prompts."""
    def check():
        first = session.dataset.samples[0]
        checked = self_check(session.patcher, session.denoiser, session.objective, session.adapters, first, rows,
                             session.settings.seed, session.beside)
        check_prompts(session.denoiser, session.objective, first, prompts)
        return tuple(checked)
    return SelfCheck(*(session.base.by_first(check) if session.base else check()))


def _follow(session, check, progress, asked_to_stop) -> Trained:
    """A rank other than 0 takes the same steps; it draws, validates and writes nothing."""
    def steps():
        with session.training():
            while session.step < session.settings.steps and not asked_to_stop():
                session.take_step()

    while session.step < session.settings.steps and not asked_to_stop():
        _attempt(session, progress, steps)
    group_report.tell_own(session, session.team)
    return _result(session, check, path="", newest="")


def _starting_point(resume: str) -> tuple[Callable[[Session], None], Path | None, str]:
    """(what prepares a session, the state that is gone on from, its optimiser): anew, from a state or from a LoRA."""
    resume = resume.strip()
    if not resume:
        return lambda session: None, None, ""
    lora = is_path(resume) and (folder_paths.get_full_path("loras", resume)
                                or folder_paths.get_full_path("loras", f"{resume}.safetensors"))
    try:
        path = find_state(resume)
    except ValueError:
        if not lora:
            raise
        return lambda session: _from_lora(session, lora), None, ""
    state = load_state(path)
    return lambda session: restore(session, state, name_of(path)), path, optimizer_of(state)


def note_branch(session, checkpoints) -> None:
    """Says where the states go of a run that branches off another."""
    came_from = checkpoints.came_from
    goes_on = session.step < session.settings.steps
    if goes_on and came_from and came_from.parent != state_folder(checkpoints.run):
        session.notes.append(f"This run keeps its states in {shown(state_folder(checkpoints.run))}; those it came from "
                             "are left as they are.")


def note_if_done(session) -> None:
    """Says before the first step that there is none to take."""
    if session.step >= session.settings.steps:
        session.notes.append(f"Nothing was trained: {session.step} steps were done before, and steps is "
                             f"{session.settings.steps}. Set it higher to go on.")


def _from_lora(session, path):
    missing = session.adapters.load(read_lora(path).tensors, session.model, session.denoiser.encoders)
    session.optimizer.previous.copy_(session.adapters.flat)
    for average in session.averages:
        average.mean.copy_(session.adapters.flat)
    session.notes.append(f"Started from the LoRA {shown(path)}" + (f"; {len(missing)} layers were not in it." if missing
                                                            else "."))


def _samples(session, prompts, vae, run):
    if not prompts:
        return None
    shapes = [each.shape for each in outlines(session.dataset.samples)]
    shape = next((shape for shape in shapes if len(shape) == 5 and shape[2] > 1), shapes[0])    # videos, if there are
    return Samples(session.patcher, prompts, session.dataset.empty, session.settings.recipe.samples,
                   session.settings.seed, shape, state_folder(run) / SAMPLES, vae,
                   is_guidance_distilled(session.model.diffusion_model), session.dataset.fps)


def _run_steps(session, checkpoints, samples, progress, asked_to_stop, gain):
    """Steps until the last one or until someone asks to stop, with pauses for what is not learning."""
    steps, health = session.settings.steps, Health(session)
    note_if_done(session)
    if samples and session.step < steps:
        _draw_samples(session, samples, checkpoints, progress, judged=session.step == 0)
    while session.step < steps and not asked_to_stop():
        pause = _next_pause(session, samples, health)
        if _attempt(session, progress, partial(_steps, session, checkpoints, progress, asked_to_stop, pause, gain)):
            _pause(session, checkpoints, samples, progress, health, last=session.step == steps or asked_to_stop())
    if session.step < steps:
        session.notes.append(f"Stopped early, as asked: {session.step} of {steps} steps.")


def _attempt(session, progress, work) -> bool:
    """attempt(), with a sentence for what the model's code only asserts."""
    try:
        return attempt(session, progress, work)
    except AssertionError as error:
        scale = session.model.latent_format.spacial_downscale_ratio
        sizes = {tuple(side * scale for side in sample.shape[:-3:-1]) for sample in outlines(session.dataset.samples)}
        raise ValueError(f"dataset: {type(session.model).__name__} does not take these pictures "
                         f"({', '.join(f'{width} x {height}' for width, height in sorted(sizes)[:8])}): its code says "
                         f"{shorten(str(error)) or 'no more than that an assertion failed'}.") from error


def _steps(session, checkpoints, progress, asked_to_stop, pause, gain) -> None:
    """Steps up to a pause."""
    with session.training():
        while session.step < pause and not asked_to_stop() and not checkpoints.overdue():
            if gain.due(session.team):
                gain.measure(session)
            session.take_step()
            progress.update(session)


def _next_pause(session, samples, health):
    recipe, step, steps = session.settings.recipe, session.step, session.settings.steps
    every = [recipe.checkpoints.every, recipe.validation.every if session.validation else 0,
             _sample_every(session) if samples else 0]
    return min([steps, health.next_look(step), *(step - step % n + n for n in every if n)])


def _sample_every(session):
    return session.settings.recipe.samples.every or max(1, session.settings.steps // 10)


def _pause(session, checkpoints, samples, progress, health, last):
    step, recipe = session.step, session.settings.recipe
    checkpoints.ending = last
    if session.validation and (last or step % recipe.validation.every == 0):
        _validate(session, progress)
    if samples and (last or any(n and step % n == 0 for n in (
            _sample_every(session), session.step_ranking and recipe.checkpoints.every))):
        _draw_samples(session, samples, checkpoints, progress)
    health.look(last)
    if not last and (checkpoints.overdue() or recipe.checkpoints.every and step % recipe.checkpoints.every == 0):
        checkpoints.checkpoint()


def _validate(session, progress):
    """A memory that is too full for it costs this measure and not the training."""
    with session.showing(), session.beside():
        found = session.validation.measure_if_it_fits(session.step, session.memory.rows or session.rows_at_once)
    if found:
        session.validated.append(found)
    else:
        progress.say(session.validation.notes[-1])


def _draw_samples(session, samples, checkpoints, progress, judged=True):
    """judged: by the critic, if there is one; not where a run that was never cut would not have stopped to look.

    A memory that is too full for pictures costs them and not the training."""
    at, pictures = f"step {session.step}/{session.settings.steps}", []
    progress.say(f"{at}: drawing sample pictures")
    try:
        with session.showing():
            drawn = samples.draw()
            checkpoints.try_to("sample pictures", partial(samples.save, drawn, session.step))
            pictures = [frames[0] for frames in drawn]
            if judged and session.step_ranking:
                session.step_ranking.offer(session.step, pictures, session.adapters.flat)
                progress.say(f"{at}: the critic gives {session.step_ranking.judged[-1].score:.4g}")
    except Exception as error:
        if not is_memory_full(error):
            raise
        session.notes.append(f"Memory was too full for the sample pictures of step {session.step}; the training went "
                             "on.")
        progress.say(session.notes[-1])
    # A VAE may have pushed it off the device.
    load(session.patcher, session.dataset, session.rows_at_once, aside=session.base is not None)
    if pictures:
        progress.show(session, pictures, samples.on_disk(session.step))


def _result(session, check, path, newest, picture_weights=()):
    measured = session.validation.notes if session.validation else []
    notes = [*session.notes, *session.memory.notes, *measured, *session.dataset.notes]
    return Trained(session.tensors(best=True), session.losses, path, session.seconds / max(1, session.step), check,
                   session.objective, session.shape, len(session.adapters.layers), session.adapters.flat.numel(),
                   session.settings, session.chosen, notes, session.rates, session.validated,
                   newest, session.memory.checkpoint, session.adapters.ranks(), session.step_ranking, picture_weights,
                   session.memory.plan, len(session.learnt), session.times_shown(),
                   sum(each.layer.is_conv for each in session.adapters.layers.values()))
