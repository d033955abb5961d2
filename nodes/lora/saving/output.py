"""Where LoRA files are written, under which names, and how one comes to be there whole or not at all."""
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import folder_paths
from safetensors.torch import load_file
from torch import Tensor

from ..file.files import write_lora

LONGEST = 150  # bytes of a name: what is added while it is written must fit into the 255 that systems allow
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|$)", re.IGNORECASE)  # of Windows, whatever ending they have


def lora_folder() -> Path:
    """ComfyUI's output/loras, where its own nodes save LoRAs and its loaders find them; else the first LoRA folder."""
    own = os.path.join(folder_paths.get_output_directory(), "loras")
    listed = folder_paths.get_folder_paths("loras")
    found = next((path for path in listed if os.path.realpath(path) == os.path.realpath(own)), None)
    return Path(found or (listed[0] if listed else own))


def file_stem(name: str) -> str:
    """`name` as the stem of a file that stays in its folder on every system.

    Raises ValueError when nothing usable is left."""
    stem = re.sub(r"[^\w\-. ]+", "_", re.sub(r"\.safetensors$", "", name.strip())).strip(" .")
    stem = stem.encode()[:LONGEST].decode(errors="ignore")
    if not re.search(r"[^\W_]", stem):
        raise ValueError(f"name: expected a file name such as my_style, got {name!r}.")
    return f"_{stem}" if DEVICES.match(stem) else stem


def check_name(name: str | None) -> bool | str:
    """What `validate_inputs` answers: True, also for a linked name, or the sentence that says what is wrong."""
    try:
        return name is None or bool(file_stem(name))
    except ValueError as error:
        return str(error)


def write_new(stem: str, tensors: dict[str, Tensor], metadata: dict[str, str],
              check: Callable[[dict[str, Tensor]], None]) -> Path:
    """Writes <stem>.safetensors, or <stem>_00001.safetensors and so on when that exists; never over another file.

    The file is written beside, read back and given to check, which may raise, and only then gets its name."""
    folder = lora_folder()
    beside = folder / f"{stem}.{uuid.uuid4().hex}.tmp"
    try:
        # Copies, because parts of a fused weight share their down, and a file must not.
        write_lora(beside, {key: t.detach().clone() for key, t in tensors.items()}, metadata)
        check(load_file(beside))
        return _named(beside, folder, stem)
    finally:
        beside.unlink(missing_ok=True)


def _named(beside: Path, folder: Path, stem: str) -> Path:
    number = 0
    while True:
        path = folder / (f"{stem}_{number:05}.safetensors" if number else f"{stem}.safetensors")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))  # takes the name; two runs cannot take the same one
        except FileExistsError:
            number += 1
            continue
        try:
            os.replace(beside, path)
        except OSError:
            path.unlink(missing_ok=True)  # the empty file that held the name
            raise
        return path
