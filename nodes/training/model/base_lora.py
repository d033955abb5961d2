"""A LoRA that is on while training and off in samples and in the file, such as one that undoes a distillation.

What it adds stands beside the layers and their adapters, so that nothing is patched and the adapters see the weights
that the file will meet: y = adapter(x) + base LoRA(x), of which the file keeps the first.
"""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ...lora.applying.bypass import Divided, divide, runnings
from ...lora.applying.patching import dry_run
from ...lora.applying.stack import entries
from ...lora.file.lora_files import LoraFile, listed_lora
from ...lora.patches.branch import Branch
from ...shared.text_syntax import shorten

NAMED = "base_lora"


class BaseLora(NamedTuple):
    """branches: by the key of their weight; notes: what the report should say."""
    name: str
    model: object
    branches: dict[str, list[Branch]]
    notes: tuple[str, ...] = ()

    @contextmanager
    def on(self) -> Iterator[None]:
        """The layers with the LoRA beside them, and beside what replaced their forward until now."""
        running = runnings(self.model, self.branches)
        try:
            for each in running:
                each.start()
            yield
        finally:
            for each in reversed(running):
                each.stop()


def load_base_lora(name: str, patcher) -> BaseLora | None:
    """The base LoRA of a recipe for a model; None for no name.

    Raises FileNotFoundError for a file that is gone, ValueError for one that has nothing for this model."""
    return made_for(name, listed_lora(name, NAMED), patcher) if name else None


def made_for(name: str, lora: LoraFile, patcher) -> BaseLora:
    """Raises ValueError as load_base_lora does."""
    result = dry_run(patcher, None, lora, 1.0, 0.0, ())
    divided: Divided = divide(patcher.model, entries(result.components[:1]))
    if not divided.branches:
        why = f" ({divided.reasons[0]})" if divided.reasons else ""
        raise ValueError(f"base_lora: expected a LoRA for {type(patcher.model).__name__}, got {shorten(name)}, of "
                         f"which nothing can run beside its layers{why}.")
    notes = [f"{shorten(name)} is on while training, on {len(divided.branches)} layers, and off in the sample pictures "
             "and in the file."]
    reasons = ", ".join(dict.fromkeys(divided.reasons))
    left_out = [f"{len(divided.patched)} of its changes are no branches ({reasons})"] if divided.patched else []
    left_out += [f"{len(result.unused)} of its keys are not for this model"] if result.unused else []
    if left_out:
        notes.append(f"Of {shorten(name)} something is left out: {'; '.join(left_out)}.")
    return BaseLora(name, patcher.model, divided.branches, tuple(notes))
