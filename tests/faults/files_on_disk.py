"""What lies on the disk after a fault: whole files, nothing empty, nothing of others touched."""
import json
from pathlib import Path

import torch
from safetensors import safe_open

STATE = "bottega.state"


def problems(folder: Path) -> list[str]:
    """What the host would list, or a person find, and is not whole."""
    return [f"{path.relative_to(folder)}: {found}" for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != ".tmp" and (found := _problem(path))]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.tmp"))


def tensors(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}


def same(one: Path, other: Path) -> bool:
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _problem(path: Path) -> str:
    if not path.stat().st_size:
        return "is empty"
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                json.loads((file.metadata() or {}).get(STATE, "{}"))
                if not all(torch.isfinite(file.get_tensor(key).float()).all() for key in file.keys()):
                    return "holds no numbers"
        elif path.suffix == ".png":
            from PIL import Image
            with Image.open(path) as picture:
                picture.load()
    except Exception as error:
        return f"cannot be read ({type(error).__name__}: {error})"
    return ""
