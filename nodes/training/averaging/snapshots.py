"""Checkpoints of one training on disk: which step each is of, and which of them an average takes."""
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...lora.file.lora_files import LoraFile, header, lora_path, read_lora
from ...shared.text_syntax import shorten
from .one_training import check_one_training
from .power_function_ema import LONGEST, SHORTEST

EMA_LENGTH = "bottega.ema_length"
MOST_STEPS = 10_000_000
NAMED_STEP = re.compile(r"steps?[-_ ]?(\d+)", re.IGNORECASE)
NUMBER = re.compile(r"\d+")


class Snapshot(NamedTuple):
    """A file, the step that it is of, and the length of the average that it holds: 0 for the plain weights.

    written: when, in seconds since 1970. said: its metadata."""
    name: str
    path: str
    step: int
    kept: float
    written: float = 0.0
    said: Mapping[str, str] = {}

    def open(self) -> LoraFile:
        return read_lora(self.path, self.name)


class Found(NamedTuple):
    """snapshots: in the order of their steps. twice: names left out because a newer file is of the same step. told: a
    sentence where the files may be of more than one training, else ""."""
    snapshots: list[Snapshot]
    twice: list[str]
    told: str


def found(names: Sequence[str], first: int, last: int) -> Found:
    """The snapshots from step first to step last, 0 being the end.

    Raises ValueError where a file does not say its step, fewer than two are left, or they are of two trainings."""
    if last and last < first:
        raise ValueError(f"first, last: expected first up to last, got {first} and {last}.")
    every = sorted(map(_snapshot, names), key=lambda each: each.step)
    ranged = [each for each in every if first <= each.step <= (last or MOST_STEPS)]
    chosen: dict[tuple, Snapshot] = {}
    for each in ranged:
        same = (each.step, each.kept)
        chosen[same] = max(chosen.get(same, each), each, key=lambda one: one.written)
    if len(chosen) < 2:
        steps = f" of steps {every[0].step} to {every[-1].step}" if every else ""
        raise ValueError(f"loras: expected at least two checkpoints of different steps{_between(first, last)}, got "
                         f"{len(chosen)} out of {len(every)} files{steps}.")
    told = check_one_training(ranged)
    twice = [each.name for each in ranged if chosen[each.step, each.kept] is not each]
    return Found(list(chosen.values()), twice, told)


def _between(first: int, last: int) -> str:
    return f" from step {first} to {last or 'the end'}" if first or last else ""


def _snapshot(name: str) -> Snapshot:
    path = lora_path(name, "loras")
    said = header(path)
    return Snapshot(name, path, step_of(name, said), _kept(said.get(EMA_LENGTH, "")), _written(path, said), said)


def _written(path: str, said: Mapping[str, str]) -> float:
    """When the training wrote it, which a copy of the file keeps; else when the file was written."""
    try:
        value = float(said.get("ss_training_finished_at", ""))
    except ValueError:
        value = math.nan
    return value if math.isfinite(value) else os.path.getmtime(path)


def step_of(name: str, said: dict[str, str]) -> int:
    """The step that a file's metadata says, else the number after `step` in its name, else the last number there.

    Raises ValueError where there is none from 1 to 10 million."""
    stem = os.path.splitext(re.split(r"[\\/]", name)[-1])[0]
    numbers = [said.get("ss_steps", ""), *NAMED_STEP.findall(stem), *reversed(NUMBER.findall(stem))]
    for number in numbers:
        if number.isascii() and number.isdigit() and len(number) < 20 and 1 <= int(number) <= MOST_STEPS:
            return int(number)
    raise ValueError("loras: expected checkpoints whose metadata (ss_steps) or name says their step, such as "
                     f'my_lora_step000250, got "{shorten(name)}".')


def _kept(written: str) -> float:
    try:
        value = float(written)
    except ValueError:
        return 0.0
    return value if SHORTEST <= value <= LONGEST else 0.0
