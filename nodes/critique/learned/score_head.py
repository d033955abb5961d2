"""The head of a learned score: linear layers over a normalised image embedding, read from the file a person has.

Three kinds of file are in use, told apart by the names and places of their layers. LAION's improved aesthetic predictor
(Schuhmann 2022) has five linear layers with dropout between and, in its published files, nothing else; its ReLU variant
has a ReLU after every layer but the last. LAION's first predictor is one linear layer. The Simulacra models (Crowson
2022) have one layer called `linear`, over an embedding of length sqrt(width) instead of 1.
"""
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import comfy.utils
import torch
from torch import Tensor

BY_THE_FILE = "by the file"
NUMBERED = re.compile(r"(?:.*\.)?(\d+)\.weight")


class Head(NamedTuple):
    """`weights` [out, in] and `biases` [out] in order; whether a ReLU follows each; the length of the embedding."""
    name: str
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    relu: tuple[bool, ...]
    length: float

    @property
    def width(self) -> int:
        """How many numbers the embedding must have."""
        return self.weights[0].shape[1]

    def score(self, embedding: Tensor) -> Tensor:
        """Embeddings [B, width] -> scores [B], float64. Raises ValueError for another width."""
        if embedding.shape[-1] != self.width:
            raise ValueError(f"head: {self.name} reads embeddings of {self.width} numbers, this CLIP vision model "
                             f"gives {embedding.shape[-1]}; use the model that the head was trained on")
        x = embedding.double()
        norm = x.norm(dim=-1, keepdim=True)
        x = x / torch.where(norm == 0, 1.0, norm) * self.length
        for weight, bias, relu in zip(self.weights, self.biases, self.relu, strict=True):
            x = x @ weight.double().T + bias.double()
            x = x.clamp(min=0) if relu else x
        return x[..., 0]


def read(path: Path, activation: str = BY_THE_FILE) -> Head:
    """The head in a file of tensors, .safetensors or .pth; a .pth with anything but tensors in it is refused unread.

    Raises ValueError with one sentence for a file that is no head."""
    try:
        tensors = comfy.utils.load_torch_file(str(path), safe_load=True)
    except Exception as error:  # the readers promise no kind of error for a damaged file
        if type(error).__name__ == "UnpicklingError":
            raise ValueError(f"head: {path.name} holds more than tensors, which is not read because it could run code; "
                             "expected a state dict (.pth) or a .safetensors file") from None
        raise ValueError(f"head: {path.name} cannot be read ({str(error)[:120]})") from None
    return head(path.name, tensors, activation)


def _named(name: str, tensors: object) -> Mapping[str, Tensor]:
    """What a file holds, where that is tensors by name. Raises ValueError where it is not."""
    if not isinstance(tensors, Mapping) or not all(isinstance(key, str) for key in tensors):
        what = "no names for its tensors" if isinstance(tensors, Mapping) else f"a {type(tensors).__name__}"
        raise _no_head(name, what)
    return tensors


def head(name: str, tensors: Mapping[str, Tensor], activation: str = BY_THE_FILE) -> Head:
    """The head in a state dict. Raises ValueError with one sentence where it is none."""
    found = {key: value for key, value in _named(name, tensors).items()
             if key.endswith("weight") and isinstance(value, Tensor) and value.ndim == 2}
    if not found or len(found) != sum(key.endswith("weight") for key in tensors):
        raise _no_head(name, f"{len(tensors)} tensors, {len(found)} of them the weights of linear layers")
    keys = sorted(found, key=_place)
    weights = [found[key] for key in keys]
    for before, after in zip(weights, weights[1:], strict=False):
        if before.shape[0] != after.shape[1]:
            raise _no_head(name, f"layers of {before.shape[0]} and {after.shape[1]} numbers, which do not join")
    if weights[-1].shape[0] != 1:
        raise _no_head(name, f"{weights[-1].shape[0]} numbers out")
    biases = [_bias(name, tensors, key, weight) for key, weight in zip(keys, weights, strict=True)]
    if not all(torch.isfinite(each.float()).all() for each in (*weights, *biases)):
        raise _no_head(name, "numbers that are not finite, as a training that has failed leaves them")
    simulacra = len(keys) == 1 and keys[0].endswith("linear.weight")
    return Head(name, tuple(weights), tuple(biases), _activations(name, [_place(key) for key in keys], activation),
                weights[0].shape[1] ** 0.5 if simulacra else 1.0)


def _bias(name: str, tensors: Mapping[str, Tensor], key: str, weight: Tensor) -> Tensor:
    """Of the layer whose weight has this key; zeros where it has none."""
    bias = tensors.get(key.removesuffix("weight") + "bias", weight.new_zeros(len(weight)))
    if not isinstance(bias, Tensor):
        raise _no_head(name, f"a bias that is no tensor but a {type(bias).__name__}")
    if bias.shape != weight.shape[:1]:
        raise _no_head(name, f"a layer of {len(weight)} numbers with a bias of {list(bias.shape)}")
    return bias


def _activations(name: str, places: list[int], asked: str) -> tuple[bool, ...]:
    """Whether a ReLU follows each layer.

    By the file: three places from one linear layer to the next hold a ReLU and a dropout. Two hold a dropout alone, as
    in the files without a ReLU, or a ReLU where one has been seen or the name says relu: LAION's last one has no
    dropout. One place holds nothing."""
    gaps = [after - before for before, after in zip(places, places[1:], strict=False)]
    has_relu = "relu" in name.lower() or max(gaps, default=0) > 2
    least = {"none": 1 << 30, "relu": 1}.get(asked, 2 if has_relu else 3)
    return (*(gap >= least for gap in gaps), False)


def _place(key: str) -> int:
    found = NUMBERED.fullmatch(key)
    return int(found[1]) if found else 0


def _no_head(name: str, got: str) -> ValueError:
    return ValueError(f"head: expected linear layers from an image embedding to one number, {name} has {got}")
