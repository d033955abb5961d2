"""LoRAs as branches that run beside the model's layers: no weight is changed, copied or unpacked.

The host's own bypass keeps one adapter a layer, no part of a fused weight, no DoRA, and turns the bias along with OFT,
so the branches are the pack's own; they are put on through the host's injections, which it takes off with the model.
"""
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import comfy.utils
import torch
from comfy.patcher_extension import PatcherInjection

from ..patches.branch import Branch, branch_of, layer_of
from ..patches.energy import as_streamed, model_weight
from .own_strengths import put_strengths

KEY = "bottega_bypass"
PATCH, BYPASS = APPLY_AS = ("patch", "bypass")
CHANGED_FIRST = "on a weight that another LoRA changes first"
READ_BY_REGION = "on a weight that a region's LoRA depends on"


class Divided(NamedTuple):
    """Entries that can be branches, by the key of their weight; those that stay patches, each with its reason."""
    branches: dict[str, list[Branch]]
    patched: list
    reasons: list[str]


def divide(model: torch.nn.Module, entries: Iterable, before: Mapping[str, list] = {}) -> Divided:
    """Entries of `stack.entries` as branches, in their order. before: what runs beside the layers already.

    All on one weight stay patches where one of them has to, or where one depends on a weight that another changes."""
    by_key, branches, patched, reasons = {}, {}, [], []
    for entry in entries:
        by_key.setdefault(entry.key, []).append(entry)
    for key, row in by_key.items():
        module = comfy.utils.get_attr(model, key.rpartition(".")[0]) if "." in key else model
        found = [branch_of(entry.patch, entry.change, entry.target, module) for entry in row]
        reason = next((each for each in found if isinstance(each, str)), "") or _obstacle(found, before.get(key, ()))
        if reason or any(entry.weight != 1.0 for entry in row):
            patched += row
            reasons += [reason or "a whole weight"] * len(row)
        else:
            branches[key] = found
    return Divided(branches, patched, reasons)


def _obstacle(found: Sequence[Branch], before: Sequence) -> str:
    """Why branches cannot stand behind those that are there: W x without a change is not to be had beside it."""
    earlier, regions = split(before)
    if any(branch.reads_weight for branch in (found if earlier else found[1:])):
        return CHANGED_FIRST
    return READ_BY_REGION if any(region.reads_weight for region in regions) else ""


def split(branches: Iterable) -> tuple[list[Branch], list]:
    """The branches for the whole picture, and the regions' of one weight, which stand behind all of them."""
    branches = list(branches)
    return ([each for each in branches if isinstance(each, Branch)],
            [each for each in branches if not isinstance(each, Branch)])


def with_branches(clone, branches: dict[str, list[Branch]]) -> None:
    """Puts branches on a clone of a MODEL or CLIP, behind those that it has and before those of regions."""
    before = branches_of(clone)
    parts = {key: split(before.get(key, ())) for key in {**before, **branches}}
    set_branches(clone, {key: [*earlier, *branches.get(key, ()), *regions]
                         for key, (earlier, regions) in parts.items()})


def lay_down(clone, changes: Iterable[tuple[str, bool]]) -> None:
    """Makes patches of the branches on a clone that have to be in the weights before new patches.

    changes: (key, whether it depends on the weight) of each new patch. Branches that only add stay beside a weight to
    which patches only add."""
    if not (before := branches_of(clone)):
        return
    depends = {}
    for key, each in changes:
        depends[key] = depends.get(key, False) or each
    moved = {}
    for key in depends.keys() & before.keys():
        earlier, regions = split(before[key])
        if depends[key] or any(branch.depends for branch in earlier) or any(each.reads_weight for each in regions):
            moved[key] = earlier
    if not any(moved.values()):
        return
    _patch_in(getattr(clone, "patcher", clone), moved)
    set_branches(clone, {key: split(row)[1] if key in moved else row for key, row in before.items()})


def _patch_in(patcher, rows: Mapping[str, Sequence[Branch]]) -> None:
    for step in range(max(map(len, rows.values()), default=0)):
        entries = {branch.target(key): (branch.patch, branch.strength, 1.0)
                   for key, row in rows.items() for branch in row[step:step + 1]}
        patcher.add_patches({target: patch for target, (patch, _, _) in entries.items()}, 1.0)
        put_strengths(patcher.patches, entries, 1.0)


def told_moved(owner, clone) -> list[str]:
    """The note on branches of earlier LoRAs that became patches; none where there are none."""
    kept = {id(branch) for row in branches_of(clone).values() for branch in row}
    count = sum(id(branch) not in kept for row in branches_of(owner).values() for branch in split(row)[0])
    return [f"{count} branches of earlier LoRAs are patches now, because this LoRA depends on what is in their "
            "weights or they on what it adds"] if count else []


def branches_of(owner) -> dict[str, list[Branch]]:
    """The branches that a MODEL or CLIP has, by the key of their weight."""
    run = getattr(owner, "patcher", owner).attachments.get(KEY) if owner is not None else None
    return run.branches if run else {}


def set_branches(clone, branches: dict[str, list[Branch]]) -> None:
    """Puts these branches on a clone of a MODEL or CLIP, instead of those that it has."""
    patcher, run = getattr(clone, "patcher", clone), Bypass({key: row for key, row in branches.items() if row})
    if not run.branches:
        patcher.remove_attachments(KEY)
        patcher.remove_injections(KEY)
        return
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
