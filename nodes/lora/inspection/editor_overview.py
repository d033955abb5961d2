"""What the editor of block weights shows: of a LoRA file its architecture, blocks and how much it changes each; and,
after a run, the energies that depend on the weights of the model."""
import time
from pathlib import Path
from weakref import ref

from ..applying.patching import ApplyResult, Change
from ..file import architecture_detection as detection
from ..file.blocks_from_names import file_patches, spelled_places, width
from ..file.lora_files import LoraFile, key_count, read_lora
from ..patches.energy import block_energies, needs_weight, own_weight

MOST_KEYS = 20_000  # of a file; the largest LoRAs have a few thousand, and the page has one worker for all files
SECONDS = 1.5  # a run is for the picture; what is not worked out by then keeps its place for the next one
SMALL = 5_000_000  # numbers in a file, below which all of it is measured, also for models that no table knows


def overview(path: str | Path) -> dict:
    """{architecture, blocks: [{block, path, in_file, energy}], unplaced: how many modules are in no known block}.

    Without a known architecture, which is then "", the blocks are those that the file names, and the model may have
    more. Reads the whole file and keeps nothing of it. energy is the norm of the block's change at strength 1, or None
    where it depends on the model's weights. Raises what read_lora and file_patches raise, and ValueError for a file of
    more than MOST_KEYS keys."""
    if (count := key_count(path)) > MOST_KEYS:
        raise ValueError(f"LoRA file: it holds {count} keys, and the editor looks into files of at most {MOST_KEYS}; "
                         "its blocks are shown after a run.")
    patches = [(key.rpartition(".")[0], patch) for key, patch in file_patches(read_lora(path).tensors).items()]
    reading = detection.read({module: width(patch) for module, patch in patches})
    places = {} if reading.architecture else spelled_places(module for module, _ in patches)
    aliases = {module: place.alias for module, place in places.items()} | reading.aliases
    energies = block_energies((aliases[module], patch, None) for module, patch in patches if module in aliases)
    paths = {place.alias: place.path for place in places.values()} | _paths(reading)
    return {"architecture": reading.architecture,
            "blocks": [_block(alias, path, energies.get(alias)) for alias, path in paths.items()],
            "unplaced": sum(module not in aliases for module, _ in patches)}


def _paths(reading: detection.Reading) -> dict[str, str | None]:
    entry = detection.architectures().get(reading.architecture)
    return {alias: entry and detection.path(alias, entry) for alias in reading.blocks}


def _block(alias: str, path: str | None, energy) -> dict:
    known = energy and not energy.unknown
    return {"block": alias, "path": path, "in_file": energy is not None, "energy": energy.norm if known else None}


def run_energies(lora: LoraFile, result: ApplyResult, *patchers) -> dict[str, float]:
    """The norm of the change in each block at strength 1, as far as it is known; by alias.

    patchers: the host's, of the model and of the text encoders. Blocks whose change follows from the file alone are
    left to the overview of the file, unless the file is small. What was found is kept with the file, while that is."""
    found, until = {}, time.monotonic() + SECONDS
    small = sum(tensor.numel() for tensor in lora.tensors.values()) <= SMALL
    for component, patcher in zip(result.components, patchers, strict=False):
        known = lora.cached.setdefault(ref(patcher.model), {}) if lora.cached is not None else {}
        by_block = {}
        for change in component.changes:
            by_block.setdefault(change.alias, []).append(change)
        for alias, changes in by_block.items():
            if alias not in known and alias and time.monotonic() < until and _worth_measuring(changes, small):
                known[alias] = _energy_of_block(alias, changes, patcher)
        found |= {alias: energy for alias, energy in known.items() if energy is not None}
    return found


def _worth_measuring(changes: list[Change], small: bool) -> bool:
    whole = all(change.patch is not None for change in changes)  # the patches of muted blocks are not made
    return whole and (small or any(needs_weight(change.patch) for change in changes))


def _energy_of_block(alias: str, changes: list[Change], patcher) -> float | None:
    rows = [(alias, change.patch, lambda target=change.target: own_weight(patcher, target))
            for change in changes if not change.problem]
    if not rows:
        return 0.0
    energy = block_energies(rows)[alias]
    return None if energy.unknown else energy.norm
