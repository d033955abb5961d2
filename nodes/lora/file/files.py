"""LoRA files: checked reading, atomic writing, and the last file read."""
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import comfy.utils
import folder_paths
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..block_weights.language import shorten
from .whole import write_whole

SAFETENSORS = (".safetensors", ".sft")
NO_FILE = "[None]"  # as the core's Train LoRA says it
FROM_MEMORY = "LoRA from memory"


class LoraFile(NamedTuple):
    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]
    facts: dict | None = None
    """What was worked out of it and goes with it; None for a LoRA that is not kept."""


def lora_path(name: str, field: str = "lora_name") -> str:
    """The file behind a name that the host lists. Raises FileNotFoundError, which quotes the name."""
    path = folder_paths.get_full_path("loras", name)
    if path is None:
        raise FileNotFoundError(f"{field}: there is no {name} in the loras folders.")
    return path


def listed_lora(name: str, field: str = "lora_name") -> LoraFile:
    """The LoRA of a name that the host lists; the one read last is not read again while it is unchanged on disk.

    Raises what lora_path and read_lora raise; field is the input that the name came from."""
    return read_lora_cached(lora_path(name, field), name)


def listed_version(name: str | None) -> tuple | str | None:
    """Changes whenever the LoRA of a name that the host lists is written anew; any other name stands for itself."""
    path = name and folder_paths.get_full_path("loras", name)  # a linked name is not known yet
    return file_version(path) if path else name


def from_memory(tensors: Mapping[str, torch.Tensor]) -> LoraFile:
    """A LoRA that a node made. Raises ValueError when it is none."""
    if not isinstance(tensors, Mapping):
        raise ValueError(f"lora: expected a LoRA, tensors by name, got {type(tensors).__name__}.")
    check(tensors, "lora: the LoRA from memory")
    return LoraFile(dict(tensors), {})


def read_lora(path: str | os.PathLike, name: str = "") -> LoraFile:
    """Reads a LoRA with the host's own loader, which may map the file instead of copying it.

    A .pt, .ckpt, .bin or .pth file is read as the host reads it, with nothing but tensors and plain containers allowed.
    Raises FileNotFoundError, or ValueError when it is not a whole file of finite numbers, about a file of this name."""
    path, name = Path(path), name or os.fspath(path)
    if not path.is_file():
        raise FileNotFoundError(f"LoRA file: {name} does not exist.")
    read = _safetensors if path.suffix.lower() in SAFETENSORS else _old_format
    tensors, metadata = read(path, name)
    check(tensors, f"LoRA file: {name}")
    return LoraFile(tensors, metadata or {})


def check(tensors: Mapping[str, torch.Tensor], name: str) -> None:
    """Raises ValueError, which begins with name, for the first tensor that cannot be a LoRA's."""
    for key, tensor in tensors.items():
        if problem := _problem(key, tensor):
            raise ValueError(f"{name} is damaged: {key} {problem}.")


def _safetensors(path: Path, name: str) -> tuple[dict, dict | None]:
    try:
        # The host's fast loader trusts the header; this rejects one that does not describe the file.
        with safe_open(path, framework="pt"):
            pass
    except SafetensorError as error:
        raise ValueError(f"LoRA file: {name} is not a whole safetensors file ({error}).") from None
    return comfy.utils.load_torch_file(str(path), safe_load=True, return_metadata=True)


def _old_format(path: Path, name: str) -> tuple[dict, None]:
    try:
        tensors = comfy.utils.load_torch_file(str(path), safe_load=True)
    except Exception as error:  # torch raises many kinds for a damaged or unsafe file
        reason = shorten(str(error).strip().partition("\n")[0].replace(str(path), name) or type(error).__name__)
        raise ValueError(f"LoRA file: {name} is not a whole file of tensors and nothing else ({reason}).") from None
    if not isinstance(tensors, dict) or not all(isinstance(key, str) for key in tensors):
        raise ValueError(f"LoRA file: {name} does not hold tensors by name but a {type(tensors).__name__}.")
    return tensors, None


def _problem(key: str, tensor: torch.Tensor) -> str:
    if not isinstance(tensor, torch.Tensor):
        return f"is no tensor but a {type(tensor).__name__}"
    if tensor.numel() == 0:
        return f"is empty (shape {tuple(tensor.shape)})"
    if key.endswith(".alpha") and tensor.numel() != 1:
        return f"must be one number and holds {tensor.numel()}"
    if tensor.is_complex() or tensor.ndim > 1 and not tensor.is_floating_point():
        return f"must hold real numbers and holds {tensor.dtype}"
    if not math.isfinite(tensor.float().sum()):
        return "holds NaN or infinity"
    return ""


def write_lora(path: str | os.PathLike, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file that appears complete or not at all, and makes its folder if needed."""
    written = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
    write_whole(path, lambda beside: save_file(written, beside, metadata))


def file_version(path: str | os.PathLike) -> tuple[str, int, int]:
    """Path, modification time in ns and size in bytes: changes whenever the file is written anew."""
    stat = os.stat(path)
    return os.fspath(path), stat.st_mtime_ns, stat.st_size


# Nodes hold no state, yet moving one block's slider must not read gigabytes again: the last file stays, and only that.
_last_read: dict[tuple[str, int, int], LoraFile] = {}


def read_lora_cached(path: str | os.PathLike, name: str = "") -> LoraFile:
    """read_lora, but the file read last is not read again while it is unchanged on disk."""
    version = file_version(path)
    if version not in _last_read:
        _last_read.clear()
        _last_read[version] = read_lora(path, name)._replace(facts={})
    return _last_read[version]
