"""What only a run can tell the editor of block weights: energies that depend on the model's own weights."""
import time
from weakref import ref

from ..applying.patching import Change, Outcome
from ..file.files import LoraFile
from ..patches.energy import block_energies, needs_weight, own_weight

SECONDS = 1.5  # a run is for the picture; what is not worked out by then keeps its place for the next one
SMALL = 5_000_000  # numbers in a file, below which all of it is measured, also for models that no table knows


def run_energies(lora: LoraFile, outcome: Outcome, *patchers) -> dict[str, float]:
    """The norm of the change in each block at strength 1, as far as it is known; by alias.

    patchers: the host's, of the model and of the text encoders. Blocks whose change follows from the file alone are
    left to the overview of the file, unless the file is small. What was found is kept with the file, while that is."""
    found, until = {}, time.monotonic() + SECONDS
    small = sum(tensor.numel() for tensor in lora.tensors.values()) <= SMALL
    for side, patcher in zip(outcome.sides, patchers, strict=False):
        known = lora.facts.setdefault(ref(patcher.model), {}) if lora.facts is not None else {}
        by_block = {}
        for change in side.changes:
            by_block.setdefault(change.alias, []).append(change)
        for alias, changes in by_block.items():
            if alias not in known and alias and time.monotonic() < until and _to_be_told(changes, small):
                known[alias] = _energy(alias, changes, patcher)
        found |= {alias: energy for alias, energy in known.items() if energy is not None}
    return found


def _to_be_told(changes: list[Change], small: bool) -> bool:
    whole = all(change.patch is not None for change in changes)  # the patches of muted blocks are not made
    return whole and (small or any(needs_weight(change.patch) for change in changes))


def _energy(alias: str, changes: list[Change], patcher) -> float | None:
    rows = [(alias, change.patch, lambda target=change.target: own_weight(patcher, target))
            for change in changes if not change.problem]
    if not rows:
        return 0.0
    energy = block_energies(rows)[alias]
    return None if energy.unknown else energy.norm
