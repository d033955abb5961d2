"""The user's own file of AlexNet's first layer: where it lies, and how it is read without running what it holds."""
import hashlib
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

FOLDER = "bottega"  # below the host's models folder, or under this name in extra_model_paths.yaml
NAMES = ("bvlc_alexnet_conv1.npy", "bvlc_alexnet_conv1.safetensors")
SHAPE, BIAS = (11, 11, 3, 96), (96,)
STRIDE = 4
SHA256 = "d0d7ca965fba18a27135a6fd0ad86abc39b591abc2e400f63dc0dd0e7e6a70f0"


class FilterBank:
    """96 filters of 11 x 11 over B, G, R, [96, 3, 11, 11], and what each adds, [96]; float32."""

    def __init__(self, weight: Tensor, bias: Tensor):
        self.weight, self.bias = weight, bias

    def respond(self, planes: Tensor) -> Tensor:
        """[B, 3, H, W] -> what the filters answer at every fourth pixel, 0 and up."""
        return F.conv2d(planes, self.weight.to(planes), self.bias.to(planes), stride=STRIDE).relu()


def find(folders: list[str]) -> FilterBank | None:
    """The filters in the first of `folders` that has them; None where none has. Raises ValueError as `read`."""
    files = (Path(folder) / name for folder in folders for name in NAMES)
    return next((read(file) for file in files if file.is_file()), None)


def folders() -> list[str]:
    """Where the host would look: models/bottega and what extra_model_paths.yaml adds under `bottega`."""
    import folder_paths
    added = folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))[0]
    return [*added, os.path.join(folder_paths.models_dir, FOLDER)]


def read(file: Path) -> FilterBank:
    """The filters of `file`. Raises ValueError where it is not the file it should be.

    The published .npy is a pickle, which could run anything. It is never unpickled: only the one known file, by its
    SHA-256, is read, and its two arrays are taken from their known places as plain numbers.
    """
    if file.suffix == ".safetensors":
        return _from_safetensors(file)
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"{file.name}: expected AT/bvlc_alexnet_conv1.npy of the Aesthetics-Toolbox (SHA-256 "
                         f"{SHA256[:12]}...) or a safetensors file, got {len(content)} bytes of something else")
    weight, bias = (_array(content, shape) for shape in (SHAPE, BIAS))
    return FilterBank(weight.permute(3, 2, 0, 1).contiguous(), bias)


def _array(content: bytes, shape: tuple[int, ...]) -> Tensor:
    """The float32 numbers behind the one mark that announces as many bytes as `shape` needs."""
    length = 4 * torch.Size(shape).numel()
    mark = b"B" + length.to_bytes(4, "little")
    start = content.index(mark) + len(mark)
    return torch.frombuffer(bytearray(content[start:start + length]), dtype=torch.float32).view(shape)


def _from_safetensors(file: Path) -> FilterBank:
    from safetensors.torch import load_file
    held = load_file(file)
    shapes = {name: tuple(value.shape) for name, value in held.items()}
    wanted = {"weight": (96, 3, 11, 11), "bias": (96,)}
    if {name: shapes.get(name) for name in wanted} != wanted:
        raise ValueError(f"{file.name}: expected the tensors weight [96, 3, 11, 11] (B, G, R) and bias [96], "
                         f"got {shapes}")
    return FilterBank(held["weight"].float(), held["bias"].float())
