"""Which average of a training is best: the validation loss of each, measured as Train LoRA measures it."""
import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import comfy.model_management
import comfy.utils
from torch import Tensor

from ..charts.chart_picture import picture
from ..lora.applying.patching import apply_lora
from ..lora.file.lora_files import LoraFile, header
from .averaging.average import EMA, MEAN, POST_HOC, Averaged, Weighted, average, weighted
from .averaging.power_function_ema import LONGEST
from .averaging.snapshots import Snapshot
from .data.dataset import TEXT, TrainingSet, outlines
from .model.base_lora import load_base_lora
from .model.loading import check_sizes, check_videos, load, load_for_training
from .plan.experts import for_expert
from .plan.families import settle
from .plan.recipe import Recipe
from .plan.settings import Settings
from .step.denoiser import Denoiser
from .step.loss import Objective, prediction_kind
from .step.prediction import for_prediction
from .step.validation import Validation, by_source, held_out

LAST = "last checkpoint"
LENGTHS = (0.02, 0.05, 0.1, 0.15, 0.2, LONGEST)
EVENLY = 0.2887     # the length at which every step counts alike: where the mean stands in the chart
ROWS = 4
NO_SEED = ("The files do not tell the seed of their training, so the noise is not that of its own validation: compare "
           "these losses with each other, and not with those of the training.")


class Choice(NamedTuple):
    """One way to make a LoRA of the checkpoints, and its validation loss. length: sigma_rel, 0 for the last alone."""
    name: str
    length: float
    loss: float


class Held(NamedTuple):
    """What is validated on. pictures: how many of the data set are held out, as Train LoRA holds them; 0: all."""
    dataset: TrainingSet
    pictures: int
    recipe: Recipe


class Judge:
    """The validation loss of LoRAs in memory, each put onto the model as Load LoRA puts it. left_out: whether some LoRA
    changes what did not take part."""

    left_out = False

    def __init__(self, model, clip, held: Held, seed: int):
        """Raises ValueError for a data set that the model does not take, or that is of pairs or of a concept."""
        self.dataset, self.clip = held.dataset, clip
        _check(held, model)
        settings = for_expert(Settings(1, ROWS, 0.0, 0, seed, held.recipe), model).settings
        patcher, settings, _ = for_prediction(model, settings, self.dataset)
        self.patcher = load_for_training(patcher, self.dataset, ROWS)
        sampling = self.patcher.get_model_object("model_sampling")
        recipe = settle(settings, model.model, prediction_kind(sampling) == "flow")[0].recipe
        self.denoiser = Denoiser(self.patcher, recipe.guidance)
        base_lora = load_base_lora(recipe.base_lora, self.patcher)
        self.beside = base_lora.on if base_lora else nullcontext
        chosen = held_out(list(outlines(self.dataset.samples)), held.pictures)
        samples = [self.denoiser.encode(self.dataset.samples[i]) for i in chosen]
        self.knows_words = all(TEXT in sample.conds.options for sample in samples)
        self.validation = Validation(self.denoiser, Objective(sampling, recipe.timesteps, recipe.loss), samples,
                                     recipe.validation.quantiles, seed)

    def loss(self, tensors: dict[str, Tensor]) -> float:
        """Raises ValueError for one that is no finite number, among which none is the lowest, and MemoryError where
        one picture has no room."""
        clip = self.clip if self.knows_words else None
        model, encoders, result = apply_lora(self.patcher, clip, LoraFile(tensors, {}), 1.0, 1.0, ())
        load(model, self.dataset, ROWS)
        self.denoiser.clip = None if encoders is clip else encoders
        self.left_out |= bool(result.unused)
        with self.beside():
            measured = self.validation.measure_if_it_fits(0, ROWS)
        if measured is None:
            raise MemoryError("dataset: memory is full with one picture in a pass; smaller pictures may fit.")
        found = measured.loss
        if not math.isfinite(found):
            raise ValueError("loras: expected checkpoints with which the model gives finite numbers, got the "
                             f"validation loss {found}. Set last before the step where the training broke.")
        return found


def _check(held: Held, model) -> None:
    samples = list(outlines(held.dataset.samples))
    own, most = held.pictures, len(by_source(samples))
    if any(each.is_pair or each.has_lesson for each in samples):
        raise ValueError("dataset: expected pictures with captions to validate on, got pairs or a concept, whose goal "
                         "depends on the training.")
    if not 0 <= own <= most:
        raise ValueError(f"validation_pictures: expected 0 to {most}, the pictures of the data set, got {own}.")
    check_videos(held.dataset, model.model)
    check_sizes(held.dataset, model.model)


def choices(snapshots: Sequence[Snapshot], length: float, kept_length: float) -> list[tuple[str, float, Weighted]]:
    """(name, length, what is averaged): the last checkpoint, averages of several lengths, length among them, and the
    mean of all; the averages out of those that the files hold, where all hold some."""
    how = POST_HOC if all(kept_length or each.kept for each in snapshots) else EMA
    found = [(LAST, 0.0, Weighted([snapshots[-1]], [1.0], ""))]
    for each in sorted({*LENGTHS, length}):
        found.append((f"{how} {each:g}", each, weighted(snapshots, how, each, kept_length)))
    return [*found, (MEAN, EVENLY, weighted(snapshots, MEAN, 0.0, kept_length))]


class Compared(NamedTuple):
    """rows: a loss for each choice, best first. best: that LoRA. report: Markdown, which is best, and a table."""
    rows: list[Choice]
    best: Averaged
    report: str

    @property
    def chart(self) -> Tensor:
        """IMAGE [1, H, W, 3]: the loss over the length of the average."""
        spec = (f'frame(title="Lowest: {self.rows[0].name}", x="length (0: the last checkpoint, 0.289: the mean)", '
                'y="validation loss"); timeline(x=length, y=loss, by=is)')
        points = [{**row._asdict(), "is": "others" if number else "lowest"} for number, row in enumerate(self.rows)]
        return picture(json.dumps(points), spec, 960, 600, "light")


def compare(held: Held, snapshots: Sequence[Snapshot], length: float, kept_length: float, rank: int, model,
            clip=None) -> Compared:
    """Measures every choice. Raises what Judge raises, and ValueError without a model. Honours Cancel in between."""
    if model is None:
        raise ValueError("model: expected the model that was trained on, to measure the validation loss on, got none.")
    seed = _seed_of(snapshots[-1])
    judge = Judge(model, clip, held, seed or 0)
    every, rows, best = choices(snapshots, length, kept_length), [], None
    bar = comfy.utils.ProgressBar(len(every))
    for name, own, chosen in every:
        comfy.model_management.throw_exception_if_processing_interrupted()
        made = average(chosen, POST_HOC if name.startswith((LAST, POST_HOC)) else EMA, rank, model, clip)
        rows.append(Choice(name, own, judge.loss(made.tensors)))
        best = made if rows[-1].loss <= min(row.loss for row in rows) else best
        bar.update(1)
    last, rows = rows[0], sorted(rows, key=lambda row: row.loss)
    return Compared(rows, best, _report(rows, last, judge, [] if seed is not None else [NO_SEED]))


def _report(rows: Sequence[Choice], last: Choice, judge: Judge, notes: Sequence[str] = ()) -> str:
    gain = 1 - rows[0].loss / last.loss
    below = "no average is below it" if rows[0] == last else f"{gain:.2%} below the last checkpoint"
    said = (f"**Lowest validation loss: {rows[0].name}**, {rows[0].loss:.6f} on {len(judge.validation.samples)} "
            f"pictures; {below}.")
    missing = ("The text encoders' part of the LoRA is not in these losses: it needs clip, and a data set from "
               "Training Set.")
    lines = [f"| {row.name} | {row.loss:.6f} | {row.loss / last.loss - 1:+.2%} |" for row in rows]
    table = "\n".join(["| average | validation loss | against the last |", "|---|---:|---:|", *lines])
    return "\n\n".join([said, *([missing] if judge.left_out else []), *notes, table])


def _seed_of(snapshot: Snapshot) -> int | None:
    """Of the training, so that the noise is that of its own validation; None where the file does not say it."""
    written = header(snapshot.path).get("ss_seed", "")
    number = int(written) if written.isascii() and written.isdigit() and len(written) <= 20 else None
    return None if number is None or number >= 2**64 else number
