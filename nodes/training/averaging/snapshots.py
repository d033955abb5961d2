"""Checkpoints of one training on disk: which step each is of, and which of them an average takes."""
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from ...lora.file.lora_files import LoraFile, header, lora_path, read_lora
from ...shared.text_syntax import shorten
from .power_function_ema import LONGEST, SHORTEST

EMA_LENGTH = "bottega.ema_length"
MOST_STEPS = 10_000_000
NAMED_STEP = re.compile(r"steps?[-_ ]?(\d+)", re.IGNORECASE)
NUMBER = re.compile(r"\d+")


class Snapshot(NamedTuple):
    """A file, the step that it is of, and the length of the average that it holds: 0 for the plain weights."""
    name: str
    path: str
    step: int
    kept: float

    def open(self) -> LoraFile:
        return read_lora(self.path, self.name)


def found(names: Sequence[str], first: int, last: int) -> tuple[list[Snapshot], list[str]]:
    """The snapshots from step first to step last, 0 being the end, in the order of their steps, and the names left out
    because another file is of the same step.

    Raises ValueError where a file does not say its step, or fewer than two are left."""
    if last and last < first:
        raise ValueError(f"first, last: expected first up to last, got {first} and {last}.")
    every = sorted(map(_snapshot, names), key=lambda each: each.step)
    chosen: dict[tuple, Snapshot] = {}
    for each in every:
        if first <= each.step <= (last or MOST_STEPS):
            chosen.setdefault((each.step, each.kept), each)
    if len(chosen) < 2:
        steps = f" of steps {every[0].step} to {every[-1].step}" if every else ""
        raise ValueError(f"loras: expected at least two checkpoints of different steps{_between(first, last)}, got "
                         f"{len(chosen)} out of {len(every)} files{steps}.")
    twice = [each.name for each in every
             if (each.step, each.kept) in chosen and each not in chosen.values()]
    return list(chosen.values()), twice


def _between(first: int, last: int) -> str:
    return f" from step {first} to {last or 'the end'}" if first or last else ""


def _snapshot(name: str) -> Snapshot:
    path = lora_path(name, "loras")
    said = header(path)
    return Snapshot(name, path, step_of(name, said), _kept(said.get(EMA_LENGTH, "")))


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
