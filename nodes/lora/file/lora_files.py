"""LoRA files: checked reading, atomic writing, and the last file read."""
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import comfy.utils
import folder_paths
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...shared.atomic_write import write_whole
from ...shared.text_syntax import printable, shorten
from .key_endings import is_adapters
from .peft_format import readable

SAFETENSORS = (".safetensors", ".sft")
NO_FILE = "[None]"  # as the core's Train LoRA says it
FROM_MEMORY = "LoRA from memory"


class LoraFile(NamedTuple):
    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]
    cached: dict | None = None
    """What was worked out of it and goes with it; None for a LoRA that is not kept."""
    implied: frozenset[str] = frozenset()
    """Keys among the tensors that only the header of the file has, such as an alpha."""
    notes: tuple[str, ...] = ()
    """What the report says of how the file was read."""


def lora_path(name: str, field: str = "lora_name") -> str:
    """The file behind a name that the host lists. Raises FileNotFoundError, which quotes the name."""
    path = folder_paths.get_full_path("loras", name)
    if path is None:
        raise FileNotFoundError(f"{field}: there is no {shorten(str(name))} in the loras folders.")
    return path


def listed_lora(name: str, field: str = "lora_name") -> LoraFile:
    """The LoRA of a name that the host lists; the one read last is not read again while it is unchanged on disk.

    Raises what lora_path and read_lora raise; field is the input that the name came from."""
    return read_lora_cached(lora_path(name, field), name)


def listed_version(name: str | None) -> tuple | str | None:
    """Changes whenever the LoRA of a name that the host lists is written anew; any other name stands for itself."""
    path = name and folder_paths.get_full_path("loras", name)  # a linked name is not known yet
    return path and _version_or_none(path) or name


def key_count(path: str | os.PathLike) -> int:
    """How many tensors a safetensors file names, read from its header alone; 0 for other files and damaged ones."""
    try:
        with safe_open(path, framework="pt") as file:
            return len(file.keys())
    except (SafetensorError, OSError):
        return 0


def header(path: str | os.PathLike) -> dict[str, str]:
    """What a safetensors file says of itself, without its tensors; {} for other files and damaged ones."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}


def from_memory(tensors: Mapping[str, torch.Tensor]) -> LoraFile:
    """A LoRA that a node made. Raises ValueError when it is none."""
    if not isinstance(tensors, Mapping):
        raise ValueError(f"lora: expected a LoRA, tensors by name, got {type(tensors).__name__}.")
    check(tensors, "lora: the LoRA from memory")
    return _readable(tensors, {})


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
    return _readable(tensors, metadata or {})


@contextmanager
def _reading(path: Path, name: str, kind: str) -> Iterator[None]:
    """Turns whatever readers raise about a file into a sentence: damaged, unsafe, not to be opened, just replaced."""
    before = _version_or_none(path)
    try:
        yield
    except Exception as error:  # the host's readers and torch raise many kinds
        if _version_or_none(path) != before:
            raise ValueError(f"LoRA file: {name} was replaced while it was read; run once more.") from None
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise ValueError(f"LoRA file: {name} cannot be read ({reason}).") from None
        reason = shorten(str(error).strip().partition("\n")[0].replace(str(path), name) or type(error).__name__)
        raise ValueError(f"LoRA file: {name} is not a whole {kind} ({reason}).") from None


def _version_or_none(path: Path) -> tuple | None:
    try:
        return file_version(path)
    except OSError:
        return None


def _readable(tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> LoraFile:
    found = readable(tensors, metadata)
    return LoraFile(found.tensors, metadata, implied=found.implied, notes=found.notes)


def check(tensors: Mapping[str, torch.Tensor], name: str) -> None:
    """Raises ValueError, which begins with name, for the first tensor that cannot be a LoRA's."""
    for key, tensor in tensors.items():
        if not isinstance(key, str):
            raise ValueError(f"{name} is damaged: a tensor has the name {shorten(repr(key))}, which is no text.")
        if _is_integer_matrix(tensor) and is_adapters(key):
            raise ValueError(f"{name} cannot be used: {shorten(key)} holds {tensor.dtype}. ComfyUI reads factors of "
                             "floating-point numbers alone, none that are quantised to integers.")
        if problem := _problem(key, tensor):
            raise ValueError(f"{name} is damaged: {shorten(key)} {problem}.")


def _is_integer_matrix(tensor) -> bool:
    matrix = isinstance(tensor, torch.Tensor) and tensor.ndim > 1
    return matrix and not tensor.is_floating_point() and not tensor.is_complex()


def _safetensors(path: Path, name: str) -> tuple[dict, dict | None]:
    with _reading(path, name, "safetensors file"):
        # The host's fast loader trusts the header; this rejects one that does not describe the file.
        with safe_open(path, framework="pt"):
            pass
        return comfy.utils.load_torch_file(str(path), safe_load=True, return_metadata=True)


def _old_format(path: Path, name: str) -> tuple[dict, None]:
    with _reading(path, name, "file of tensors and nothing else"):
        tensors = comfy.utils.load_torch_file(str(path), safe_load=True)
    if not isinstance(tensors, dict) or not all(isinstance(key, str) for key in tensors):
        raise ValueError(f"LoRA file: {name} does not hold tensors by name but a {type(tensors).__name__}.")
    return tensors, None


def _problem(key: str, tensor: torch.Tensor) -> str:
    if not isinstance(tensor, torch.Tensor):
        return f"is no tensor but a {type(tensor).__name__}"
    if tensor.numel() == 0 and tensor.ndim < 2:  # a matrix of rank 0 changes nothing, which the report says
        return f"is empty (shape {tuple(tensor.shape)})"
    if key.endswith(".alpha") and tensor.numel() != 1:
        return f"must be one number and holds {tensor.numel()}"
    if tensor.is_complex():
        return f"must hold real numbers and holds {tensor.dtype}"
    if not math.isfinite(tensor.float().sum()):
        return "holds NaN or infinity"
    return ""


def write_lora(path: str | os.PathLike, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file that appears complete or not at all, and makes its folder if needed."""
    write_whole(path, lambda beside: write_tensors(beside, tensors, metadata))


def write_tensors(path: str | os.PathLike, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file in place. Raises OSError where the system refuses, as every other writer does.

    The metadata may name files whose names are no UTF-8."""
    metadata = {printable(key): printable(value) for key, value in metadata.items()}
    written = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
    try:
        save_file(written, path, metadata)
    except SafetensorError as error:
        raise (_refused(str(error)) or error) from None


def _refused(text: str) -> OSError | None:
    """What the system said in the library's own error, which carries it in words only; None for any other error."""
    found = re.search(r"([^:]*)\(os error (\d+)\)", text)
    if not found:
        return None
    number = int(found[2])
    if os.name == "nt":     # the number is one of Windows, of which Python makes its own
        return OSError(None, found[1].strip(), None, number)
    return OSError(number, os.strerror(number))


def file_version(path: str | os.PathLike) -> tuple[str, int, int]:
    """Path, modification time in ns and size in bytes: changes whenever the file is written anew."""
    stat = os.stat(path)
    return os.fspath(path), stat.st_mtime_ns, stat.st_size


# Nodes hold no state, yet moving one block's slider must not read gigabytes again: the last file stays, and only that.
_last_read: dict[tuple[str, int, int], LoraFile] = {}


def read_lora_cached(path: str | os.PathLike, name: str = "") -> LoraFile:
    """read_lora, but the file read last is not read again while it is unchanged on disk."""
    try:
        version = file_version(path)
    except OSError:
        raise FileNotFoundError(f"LoRA file: {name or os.fspath(path)} was removed while it was read.") from None
    if version not in _last_read:
        _last_read.clear()
        _last_read[version] = read_lora(path, name)._replace(cached={})
    return _last_read[version]
