"""What the editor of block weights shows of a LoRA file: its architecture, its blocks and how much it changes each."""
from collections.abc import Mapping
from pathlib import Path

from ..file import names
from ..file.contents import file_patches, width
from ..file.files import read_lora
from ..patches.energy import block_energies


def overview(path: str | Path) -> dict:
    """{architecture, blocks: [{block, path, in_file, energy}], unplaced: how many modules are in no known block}.

    Reads the whole file and keeps nothing of it. energy is the norm of the block's change at strength 1, or None where
    it depends on the model's weights. Raises what read_lora and file_patches raise."""
    patches = [(key.rpartition(".")[0], patch) for key, patch in file_patches(read_lora(path).tensors).items()]
    reading = names.read({module: width(patch) for module, patch in patches})
    energies = block_energies((reading.aliases[module], patch, None) for module, patch in patches
                              if module in reading.aliases)
    return {"architecture": reading.architecture,
            "blocks": [_block(alias, energies, names.architectures().get(reading.architecture))
                       for alias in reading.blocks],
            "unplaced": sum(module not in reading.aliases for module, _ in patches)}


def _block(alias: str, energies: Mapping, entry: names.Architecture | None) -> dict:
    energy = energies.get(alias)
    known = energy and not energy.unknown
    return {"block": alias, "path": entry and names.path(alias, entry), "in_file": energy is not None,
            "energy": energy.norm if known else None}
