"""A training run from a model and a data set to a checked LoRA file."""
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import comfy.model_management
import folder_paths
import torch

from ..lora.file.files import read_lora
from ..lora.saving.output import file_stem
from ..lora.saving.proof import check_loads
from .adapters import LoraShape
from .data.dataset import TrainingSet
from .disk.checkpoint import find_state, load_state, state_folder, take_run
from .disk.keeping import Keeper
from .disk.state import restore
from .health import Health
from .plan.experts import for_expert
from .plan.settings import Settings
from .seen import critic as critics
from .seen.progress import Progress
from .seen.samples import Samples
from .step.denoiser import is_guidance_distilled
from .step.objective import Objective
from .step.retry import attempt
from .step.selfcheck import SelfCheck, self_check
from .step.session import Session
from .step.validation import Measured
from .stop import stoppable


class Trained(NamedTuple):
    """tensors: the LoRA; settings: without gaps, and chosen: (what, why) for each gap that was filled; notes: what a
    person should know. losses and rates hold one number a step, those before a resume included. favourite: of a
    critic, and weighed: the pictures of the data set as it sees them."""
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
    favourite: critics.Favourite | None = None
    weighed: tuple[critics.Weighed, ...] = ()

    @property
    def loss_map(self) -> dict:
        """A LOSS_MAP: `loss` as the host's nodes read it, and what only Training Chart knows."""
        return {"loss": self.losses, "learning_rate": self.rates,
                "validation": [(m.step, m.loss) for m in self.validated],
                "critique": self.favourite.points if self.favourite else []}


def train(patcher, dataset: TrainingSet, settings: Settings, name: str, progress: Progress,
          shape: LoraShape | None = None, sample_prompts: list | None = None, resume: str = "", vae=None,
          clip=None, critic: critics.Critic | None = None, critic_weighting: float = 0.0) -> Trained:
    """Trains a LoRA on the model and leaves the model as it was, whatever happens. shape None: LoRA of settings.rank.

    resume: "" or what checkpoint.find_state takes, or a LoRA to start from. A run that is cancelled or fails after its
    first step leaves <name>_interrupted.safetensors and a state to go on from. critic: judges the sample pictures, and
    the best step's LoRA is the result; with critic_weighting it also says what each picture counts. Raises ValueError
    for inputs that cannot be trained on or continued from and FloatingPointError when the loss stops being finite."""
    critics.check(critic, sample_prompts, critic_weighting, patcher.model, vae)
    expert = for_expert(settings, patcher)
    settings, stem = expert.settings, file_stem(name).removesuffix(expert.ending) + expert.ending
    weighed = []
    if critic_weighting:
        progress.say("criticising the data set")
        dataset, weighed = critics.weigh(dataset, critic, critic_weighting, patcher.model, vae)
    # The executor runs in inference mode, whose tensors cannot take part in a backward; a state's must not be such.
    with torch.inference_mode(False), torch.enable_grad(), stoppable(progress.node_id) as asked_to_stop:
        begin, run = _beginning(resume)
        session = Session(load_for_training(patcher, dataset, settings), dataset, settings, shape, clip)
        session.chosen += expert.chosen
        session.notes += expert.notes if sample_prompts else ()
        check_loads(session.tensors(), session.model, session.denoiser.encoders)
        progress.say("checking the gradients")
        check = self_check(session.patcher, session.denoiser, session.objective, session.adapters, dataset.samples[0],
                           settings.batch_size, settings.seed)
        progress.say("encoding the data set")
        session.prepare(check.checkpoint)
        session.rewrites = check.rewrites
        session.favourite = critics.Favourite(critic) if critic and sample_prompts else None
        if critic and vae is None:
            session.notes.append("The critic saw quick previews of latents. Connect vae to have it judge pictures.")
        begin(session)
        keeper = Keeper(session, stem, run or take_run(stem))
        samples = _samples(session, sample_prompts, vae, keeper.run)
        with keeper.rescuing(progress.say):
            _go(session, keeper, samples, progress, asked_to_stop)
            path = keeper.finish()
        return _result(session, keeper, check, path, tuple(weighed))


def _beginning(resume: str) -> tuple[Callable[[Session], None], str]:
    """(what prepares a session, the run that goes on, "" for a new one): anew, from a state or from a LoRA."""
    resume = resume.strip()
    if not resume:
        return lambda session: None, ""
    lora = folder_paths.get_full_path("loras", resume) or folder_paths.get_full_path("loras", f"{resume}.safetensors")
    try:
        path = find_state(resume)
    except ValueError:
        if not lora:
            raise
        return lambda session: _from_lora(session, lora), ""
    state = load_state(path)
    run = path.parent.name if state_folder(path.parent.name) == path.parent else ""
    return lambda session: restore(session, state, f"{path.parent.name}/{path.stem}"), run


def _from_lora(session, path):
    missing = session.adapters.load(read_lora(path).tensors, session.model, session.denoiser.encoders)
    session.optimizer.previous.copy_(session.adapters.flat)
    if session.average:
        session.average.mean.copy_(session.adapters.flat)
    session.notes.append(f"Started from the LoRA {path}" + (f"; {len(missing)} layers were not in it." if missing
                                                            else "."))


def load_for_training(patcher, dataset: TrainingSet, settings: Settings):
    """A clone on the device, which shares the weights and keeps the user's patches; fp16 models compute in bf16 or
    fp32, because their gradients underflow in fp16."""
    patcher = patcher.clone()
    if (patcher.get_model_object("manual_cast_dtype") or patcher.model.get_dtype()) == torch.float16:
        bf16 = comfy.model_management.should_use_bf16(patcher.load_device)
        patcher.set_model_compute_dtype(torch.bfloat16 if bf16 else torch.float32)
    load(patcher, dataset, settings)
    return patcher


def load(patcher, dataset: TrainingSet, settings: Settings) -> None:
    """Brings the model onto its device, with room for a batch's activations."""
    largest = max((sample.latent for sample in dataset.samples), key=torch.Tensor.numel)
    inference = patcher.memory_required([settings.batch_size, *largest.shape[1:]])
    comfy.model_management.load_models_gpu([patcher], memory_required=3 * inference)


def _samples(session, prompts, vae, run):
    if not prompts:
        return None
    return Samples(session.patcher, prompts, session.dataset.empty, session.settings.recipe.samples,
                   session.settings.seed, session.dataset.samples[0].latent.shape, state_folder(run) / "samples", vae,
                   is_guidance_distilled(session.model.diffusion_model))


def _go(session, keeper, samples, progress, asked_to_stop):
    """Steps until the last one or until someone asks to stop, with pauses for what is not learning."""
    steps, health = session.settings.steps, Health(session)
    if session.step >= steps:
        session.notes.append(f"Nothing was trained: {session.step} steps were done before, and steps is {steps}. Set "
                             "it higher to go on.")
    if samples and session.step < steps:
        _show(session, samples, progress, judged=session.step == 0)
    while session.step < steps and not asked_to_stop():
        pause = _next_pause(session, samples, health)
        if attempt(session, progress, partial(_steps, session, keeper, progress, asked_to_stop, pause)):
            _between(session, keeper, samples, progress, health, last=session.step == steps or asked_to_stop())
    if session.step < steps:
        session.notes.append(f"Stopped early, as asked: {session.step} of {steps} steps.")


def _steps(session, keeper, progress, asked_to_stop, pause) -> None:
    """Steps up to a pause."""
    with session.training():
        while session.step < pause and not asked_to_stop() and not keeper.overdue():
            session.take_step()
            progress.update(session)


def _next_pause(session, samples, health):
    recipe, step, steps = session.settings.recipe, session.step, session.settings.steps
    every = [recipe.checkpoints.every, recipe.validation.every if session.validation else 0,
             _sample_every(session) if samples else 0]
    return min([steps, health.next_look(step), *(step - step % n + n for n in every if n)])


def _sample_every(session):
    return session.settings.recipe.samples.every or max(1, session.settings.steps // 10)


def _between(session, keeper, samples, progress, health, last):
    step, recipe = session.step, session.settings.recipe
    if session.validation and (last or step % recipe.validation.every == 0):
        with session.showing():
            session.validated.append(session.validation.measure(step, session.memory.rows))
    if samples and (last or any(n and step % n == 0 for n in (
            _sample_every(session), session.favourite and recipe.checkpoints.every))):
        _show(session, samples, progress)
    health.look(last)
    if not last and (keeper.overdue() or recipe.checkpoints.every and step % recipe.checkpoints.every == 0):
        keeper.checkpoint()


def _show(session, samples, progress, judged=True):
    """judged: by the critic, if there is one; not where a run that was never cut would not have stopped to look."""
    at = f"step {session.step}/{session.settings.steps}"
    progress.say(f"{at}: drawing sample pictures")
    with session.showing():
        pictures = samples.draw(session.step)
        if judged and session.favourite:
            session.favourite.offer(session.step, pictures, session.adapters.flat)
            progress.say(f"{at}: the critic gives {session.favourite.judged[-1].score:.4g}")
    load(session.patcher, session.dataset, session.settings)       # a VAE may have pushed it off the device
    progress.show(session, pictures)


def _result(session, keeper, check, path, weighed):
    notes = [*session.notes, *session.memory.notes, *session.dataset.notes]
    return Trained(session.tensors(best=True), session.losses, path, session.seconds / max(1, session.step), check,
                   session.objective, session.shape, len(session.adapters.layers), session.adapters.flat.numel(),
                   session.settings, session.chosen, notes, session.rates, session.validated,
                   str(keeper.newest or ""), session.memory.checkpoint, session.adapters.ranks(),
                   session.favourite, weighed)
