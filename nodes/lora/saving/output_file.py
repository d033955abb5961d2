"""Where LoRA files are written, under which names, and how one comes to be there whole or not at all."""
import os
import re
from collections.abc import Callable
from pathlib import Path

import folder_paths
from safetensors.torch import load_file
from torch import Tensor

from ...shared import atomic_write
from ...shared.device_names import is_device
from ...shared.text_syntax import shorten
from ..file.lora_files import write_tensors

LONGEST = 150  # bytes of a name: what is added while it is written must fit into the 255 that systems allow


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
        raise ValueError(f"name: expected a file name such as my_style, got {shorten(repr(name))}.")
    return f"_{stem}" if is_device(stem) else stem


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
    def write(beside: Path) -> None:
        # Copies, because parts of a fused weight share their down, and a file must not.
        write_tensors(beside, {key: t.detach().clone() for key, t in tensors.items()}, metadata)
        check(load_file(beside))

    return atomic_write.write_new(lora_folder(), stem, ".safetensors", write)
