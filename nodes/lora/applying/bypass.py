"""LoRAs as branches that run beside the model's layers: no weight is changed, copied or unpacked.

The host's own bypass keeps one adapter a layer, no part of a fused weight, no DoRA, and turns the bias along with OFT,
so the branches are the pack's own; they are put on through the host's injections, which it takes off with the model.
"""
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import comfy.utils
import torch
from comfy.patcher_extension import PatcherInjection

from ..patches.branch import Branch, branch_of, layer_of
from ..patches.energy import as_streamed, model_weight

KEY = "bottega_bypass"
PATCH, BYPASS = APPLY_AS = ("patch", "bypass")


class Divided(NamedTuple):
    """Entries that can be branches, by the key of their weight; those that stay patches, each with its reason."""
    branches: dict[str, list[Branch]]
    patched: list
    reasons: list[str]


def divide(model: torch.nn.Module, entries: Iterable) -> Divided:
    """Entries of `stack.entries` as branches, in their order.

    All on one weight stay patches where one of them has to, or where one depends on a weight that another changes."""
    by_key, branches, patched, reasons = {}, {}, [], []
    for entry in entries:
        by_key.setdefault(entry.key, []).append(entry)
    for key, row in by_key.items():
        module = comfy.utils.get_attr(model, key.rpartition(".")[0]) if "." in key else model
        found = [branch_of(entry.patch, entry.change, entry.target, module) for entry in row]
        reason = next((each for each in found if isinstance(each, str)), "")
        if not reason and any(branch.depends for branch in found[1:]):
            reason = "on a weight that another LoRA changes first"
        if reason or any(entry.weight != 1.0 for entry in row):
            patched += row
            reasons += [reason or "a whole weight"] * len(row)
        else:
            branches[key] = found
    return Divided(branches, patched, reasons)


def with_branches(clone, branches: dict[str, list[Branch]]) -> None:
    """Puts branches on a clone of a MODEL or CLIP, behind those that it has."""
    before = branches_of(clone)
    set_branches(clone, {key: [*before.get(key, []), *branches.get(key, [])] for key in {**before, **branches}})


def branches_of(owner) -> dict[str, list[Branch]]:
    """The branches that a MODEL or CLIP has, by the key of their weight."""
    run = getattr(owner, "patcher", owner).attachments.get(KEY)
    return run.branches if run else {}


def set_branches(clone, branches: dict[str, list[Branch]]) -> None:
    """Puts these branches on a clone of a MODEL or CLIP, instead of those that it has."""
    patcher, run = getattr(clone, "patcher", clone), Bypass(branches)
    patcher.set_attachments(KEY, run)
    patcher.set_injections(KEY, [PatcherInjection(inject=run.inject, eject=run.eject)])


def is_bypassed(patcher) -> bool:
    """Whether LoRAs run beside this ModelPatcher's layers."""
    return KEY in patcher.injections


def check_patched(patcher) -> None:
    """Raises ValueError with one sentence for a model whose LoRAs run beside its layers: training replaces those."""
    if is_bypassed(patcher):
        raise ValueError("model: expected LoRAs that are in the model's weights, got some that run beside its layers; "
                         f"for training set apply_as to {PATCH} where they are loaded.")


class Bypass:
    """The branches of a model: put before the layers' own forward while the host has the model loaded.

    On several cards the host has a copy of the model on each, with the injections of the first."""

    def __init__(self, branches: dict[str, list[Branch]]):
        self.branches, self._running = branches, {}

    def inject(self, patcher) -> None:
        if patcher.model not in self._running:
            self._running[patcher.model] = runnings(patcher.model, self.branches)
            for running in self._running[patcher.model]:
                running.start()

    def eject(self, patcher) -> None:
        for running in reversed(self._running.pop(patcher.model, [])):
            running.stop()


def runnings(model: torch.nn.Module, branches: dict[str, list[Branch]]) -> list["Running"]:
    """A Running for every layer with branches, not started."""
    layers = {key: comfy.utils.get_attr(model, key.rpartition(".")[0]) for key in branches}
    return [Running(layers[key], row, partial(_weight, model, key, layers[key])) for key, row in branches.items()]


def _weight(model: torch.nn.Module, key: str, layer: torch.nn.Module) -> torch.Tensor:
    return as_streamed(layer, "weight", model_weight(model, key)).float()


def _bias(layer: torch.nn.Module) -> torch.Tensor | None:
    own = getattr(layer, "bias", None)
    return None if own is None else as_streamed(layer, "bias", own)


class Running:
    """A layer's forward with its branches, from `start` until it is stopped."""

    def __init__(self, module, branches, weight):
        self.module, self.branches, self.weight = module, branches, weight
        self.depends, self.active = any(branch.depends for branch in branches), False

    def start(self) -> None:
        self.own, self.before = vars(self.module).get("forward"), self.module.forward
        # The layer's own code gives a tensor of its own; what was put over it may keep what it gives.
        bias = partial(_bias, self.module)
        self.layer, self.active = layer_of(self.module, self.before, self.weight, bias, self.own is None), True
        vars(self.module)["forward"] = self     # a Module's own way to set an attribute takes ten times as long

    def __call__(self, x, *args, **kwargs):
        if not self.active or args or kwargs:
            return self.before(x, *args, **kwargs)
        if not self.depends:
            y = self.before(x)
            for branch in self.branches:
                y = branch.onto(y, x, self.layer)
            return y
        z = self.layer.linear(x)
        for branch in self.branches:
            z = branch.onto(z, x, self.layer)
        return self.layer.with_bias(z)

    def stop(self) -> None:
        """Takes itself off; where another wraps it meanwhile it only lets everything through."""
        self.pause()
        for branch in self.branches:
            branch.release()

    def pause(self) -> None:
        """As `stop`, but keeps what is on the device for the next start."""
        if self.active:
            self.active = False
            put_back(self.module, self, self.own)


def put_back(module: torch.nn.Module, ours, own) -> None:
    """Takes `ours` off a module's forward, where nothing was put over it; own: what an instance had there, or None."""
    if vars(module).get("forward") is ours:
        if own is None:
            del module.forward
        else:
            module.forward = own


def told(divided: Divided) -> str:
    """The note of the report: how many weights by branches, their size, and what stayed a patch."""
    size = sum(branch.bytes() for row in divided.branches.values() for branch in row) / 1e6
    text = f"beside the model: {len(divided.branches)} weights by branches of {size:.1f} MB"
    if divided.patched:
        counted = {reason: divided.reasons.count(reason) for reason in divided.reasons}
        text += "; patched all the same: " + ", ".join(f"{count} ({reason})" for reason, count in counted.items())
    return text
