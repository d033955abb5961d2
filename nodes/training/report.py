"""The report of a training run, in Markdown."""
from .dataset import TrainingSet
from .run import Trained
from .settings import Settings


def training_report(run: Trained, dataset: TrainingSet, settings: Settings) -> str:
    tenth = max(1, len(run.losses) // 10)
    first, last = _mean(run.losses[:tenth]), _mean(run.losses[-tenth:])
    what, why = run.objective.describe()
    memory = (f"each block is computed again in the backward: a batch would keep about "
              f"{_megabytes(run, settings)} of activations" if run.check.checkpoint else
              f"activations are kept, about {_megabytes(run, settings)} a batch fit the free memory")
    lines = [
        f"**{settings.steps} steps on {len(dataset.samples)} pictures**, {run.seconds_a_step:.3g} s a step",
        f"- Loss: {first:.4f} at the start, {last:.4f} at the end (means of {tenth} steps)",
        f"- Trained: {run.shape.algorithm} on {run.layers} layers, rank {run.shape.rank}, "
        f"{run.parameters:,} parameters in fp32",
        f"- Self-check: {run.check.sentence()}",
        f"- File: {run.path}",
        "",
        "Chosen for you:",
        f"- {what}: {why}",
        f"- alpha {settings.alpha:g}, the rank: the learning rate means the same at every rank",
        f"- AdamW, {settings.warmup} warm-up steps, then a cosine to {settings.final_rate:.0%} of learning_rate: the "
        "calm end averages the noise of single pictures out",
        f"- gradient clipped at norm {settings.clip:g}: one odd picture cannot throw the LoRA off",
        f"- {memory}",
    ]
    return "\n".join(lines + [f"- {note}" for note in dataset.notes])


def _mean(values):
    return sum(values) / len(values)


def _megabytes(run, settings):
    return f"{run.check.saved_bytes * settings.batch_size / 2**20:,.0f} MB"
