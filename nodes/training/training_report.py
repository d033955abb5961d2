"""The report of a training run, in Markdown."""
import math

from ..shared.markdown_table import cell
from .adapters.lora_shape import ALGORITHMS
from .data.dataset import TrainingSet
from .disk.checkpoint import shown
from .plan.recipe import Recipe
from .plan.settings import Settings
from .training_run import Trained


def training_report(run: Trained, dataset: TrainingSet, asked: Settings) -> str:
    """asked: the settings as they came to the node, with gaps."""
    tenth = max(1, len(run.losses) // 10)
    first, last = _mean(run.losses[:tenth]), _mean(run.losses[-tenth:])
    lines = [
        f"**{len(run.losses)} steps on {len(dataset.samples)} pictures**, {run.seconds_a_step:.3g} s a step; "
        + _shown(run, dataset),
        f"- Training loss: {first:.4f} at the start, {last:.4f} at the end ({_means_of(tenth)})",
        *_validation(run),
        *_critique(run),
        *([f"- Memory: {run.memory_plan.sentence()}"] if run.memory_plan else []),
        f"- Trained: {run.shape.algorithm} on {run.layers} layers, rank {_ranks(run)}, "
        f"{run.parameters:,} parameters in fp32",
        f"- Self-check: {run.check.sentence()}",
        f"- File: {shown(run.path)}",
        *([f"- State, for resume: {run.state}"] if run.state else []),
        *(f"- {note}" for note in run.notes),
        "",
        "Chosen for you:",
        *(f"- {what}: {why}" for what, why in [*run.chosen, *_defaults(run, asked)]),
    ]
    return "\n".join([*lines, *_told(asked.recipe), *_steps_judged(run), *_weights(run)])


def _ranks(run: Trained) -> str:
    """`4`, or `4 to 16` where layers differ."""
    return " to ".join(map(str, sorted({*run.ranks})))


def _shown(run, dataset):
    least, most = (f"{times:.2g}" for times in run.times_shown)
    held = len(dataset.samples) - run.learnt
    often = f"each shown about {least} times" if least == most else (
        f"shown about {least} to {most} times, as often as their repeats say")
    return often + (f", {held} held out for validation" if held else "")


def _validation(run):
    if not run.validated:
        return []
    best, last = min(run.validated, key=lambda m: (math.isnan(m.loss), m.loss)), run.validated[-1]
    levels = ", ".join(f"{loss:.4f}" for loss in last.by_level)
    return [f"- Validation loss: {run.validated[0].loss:.4f} at step {run.validated[0].step}, lowest {best.loss:.4f} "
            f"at step {best.step}, {last.loss:.4f} {_when(last.step, run)} ({levels} from little noise to much)"]


def _when(step, run):
    """A measure may have been left out at the end, for want of memory or because a run that goes on asks for none."""
    return "at the end" if step == len(run.losses) else f"at step {step}"


def _critique(run):
    """What the critic chose, in a sentence."""
    if not run.step_ranking or run.step_ranking.weights is None:
        return []
    ranking, best, judged = run.step_ranking, run.step_ranking.best, run.step_ranking.judged
    start = [f"{j.score:.4g} before the first step" for j in judged if j.step == 0]
    return [f"- Critic ({ranking.critic.title}): best after step {best.step} with {best.score:.4g}, whose LoRA "
            f"this is; {', '.join([*start, f'{judged[-1].score:.4g} {_when(judged[-1].step, run)}'])}"]


def _steps_judged(run):
    if not run.step_ranking:
        return []
    title, judged = run.step_ranking.critic.title, run.step_ranking.judged
    lines = ["", f"The sample pictures by {title}:", "", "| step | mean score | of each |", "|---:|---:|---|"]
    best = run.step_ranking.step if run.step_ranking.weights is not None else None
    return [*lines, *(f"| {j.step}{' (best)' * (j.step == best)} | {j.score:.4g} | "
                      f"{', '.join(f'{score:.4g}' for score in j.scores)} |" for j in judged)]


def _weights(run):
    if not run.picture_weights:
        return []
    ordered = sorted(run.picture_weights, key=lambda w: -w.score)
    return ["", "What each picture counts:", "", "| picture | score | weight |", "|---|---:|---:|",
            *(f"| {cell(w.name)} | {w.score:.4g} | {w.weight:.2f} |" for w in ordered)]


def _defaults(run, asked):
    plan, warmup = run.settings.recipe.optimizer, run.settings.warmup
    usual, chosen = Recipe(), []
    if asked.recipe.schedule.warmup is None:
        chosen.append((f"{warmup} warm-up step{'s' * (warmup != 1)}", "the first gradients point anywhere"))
    if plan.name == usual.optimizer.name:
        chosen.append(("AdamW in fp32", "one fused update of all adapters, and small states"))
    if plan.clip == usual.optimizer.clip:
        chosen.append((f"gradient clipped at norm {plan.clip:g}", "one odd picture cannot throw the LoRA off"))
    if run.settings.recipe.timesteps.strata == usual.timesteps.strata > 1:
        chosen.append((f"noise levels stratified in {usual.timesteps.strata}",
                       "each range has its turn, so the loss of single steps varies less"))
    if not run.shape.targets.strip():
        convolutions = f" and {run.convolutions} convolutions" if run.convolutions else ""
        chosen.append((f"the {run.layers - run.convolutions} attention and feed-forward layers{convolutions} of the "
                       "repeated blocks",
                       "they carry the picture; modulation, norms, embedders and refiners of captions do not"))
    if not run.shape.alpha and ALGORITHMS[run.shape.algorithm].adapter.takes_alpha:
        chosen.append((f"alpha {_ranks(run)}, the rank", "a learning rate means the same at every rank"))
    return [*chosen, _memory(run)]


def _memory(run):
    size = f"{run.check.saved_bytes * run.settings.batch_size / 2**20:,.0f} MB"
    if run.checkpointed:
        return ("each block is computed again in the backward", f"a batch would keep about {size} of activations")
    return ("activations are kept", f"about {size} a batch fit the free memory")


def _told(recipe):
    """What the connected recipe says that no recipe would."""
    usual = Recipe()
    told = []
    for name, plan in vars(recipe).items():
        other = getattr(usual, name)
        if plan != other:
            parts = ([f"{k} {v}" for k, v in vars(plan).items() if v != getattr(other, k)]
                     if hasattr(plan, "__dict__") else [f"{plan}"])
            told.append(f"- {name}: {', '.join(parts)}")
    return ["", "As the recipe says:", *told] if told else []


def _means_of(steps):
    return f"means of the first and the last {steps} steps" if steps > 1 else "of the first and the last step"


def _mean(values):
    return sum(values) / len(values)
