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

from ...shared.picture_folder import shown

BY_THE_FILE = "by the file"
NUMBERED = re.compile(r"(?:.*\.)?(\d+)\.weight")
NUMBER = re.compile(r"\d+")


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
    keys, places = _in_order(name, found)
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
    return Head(name, tuple(weights), tuple(biases), _activations(name, len(keys), places, activation),
                weights[0].shape[1] ** 0.5 if simulacra else 1.0)


def _bias(name: str, tensors: Mapping[str, Tensor], key: str, weight: Tensor) -> Tensor:
    """Of the layer whose weight has this key; zeros where it has none."""
    bias = tensors.get(key.removesuffix("weight") + "bias", weight.new_zeros(len(weight)))
    if not isinstance(bias, Tensor):
        raise _no_head(name, f"a bias that is no tensor but a {type(bias).__name__}")
    if bias.shape != weight.shape[:1]:
        raise _no_head(name, f"a layer of {len(weight)} numbers with a bias of {list(bias.shape)}")
    return bias


def _in_order(name: str, found: Mapping[str, Tensor]) -> tuple[list[str], list[int]]:
    """The keys of the layers, the first one first, and the place of each among all modules where the file says it.

    The order is that of their places (`layers.3.weight`), or of the numbers in names that are the same but for these
    (`fc1.weight`, `fc2.weight`), or the only one in which each layer takes what another gives."""
    places = {key: int(at[1]) for key in found if (at := NUMBERED.fullmatch(key))}
    if len(found) == 1 or len({*places.values()}) == len(found):
        keys = sorted(found, key=lambda key: places.get(key, 0))
        return keys, [places.get(key, 0) for key in keys]
    if len({NUMBER.sub("#", key) for key in found}) == 1:
        return sorted(found, key=lambda key: [int(number) for number in NUMBER.findall(key)]), []
    return _joined(name, found), []


def _joined(name: str, found: Mapping[str, Tensor]) -> list[str]:
    """The keys in the order in which the widths of the layers join, from the one that gives one number back."""
    left, keys, wanted = dict(found), [], 1
    while left:
        fits = [key for key, weight in left.items() if weight.shape[0] == wanted]
        if len(fits) != 1:
            raise _no_head(name, f"layers whose order neither their names nor their widths tell ({shown([*found])}); "
                                 "number them, as in layers.0.weight, layers.1.weight")
        keys, wanted = [*fits, *keys], left.pop(fits[0]).shape[1]
    return keys


def _activations(name: str, layers: int, places: list[int], asked: str) -> tuple[bool, ...]:
    """Whether a ReLU follows each layer: where it is asked for, each but the last.

    By the file: three places from one linear layer to the next hold a ReLU and a dropout. Two hold a dropout alone, as
    in the files without a ReLU, or a ReLU where one has been seen or the name says relu: LAION's last one has no
    dropout. One place holds nothing. Of layers without a place the name alone tells."""
    named = "relu" in name.lower()
    if asked != BY_THE_FILE or not places:
        return (*[asked == "relu" or asked == BY_THE_FILE and named] * (layers - 1), False)
    gaps = [after - before for before, after in zip(places, places[1:], strict=False)]
    least = 2 if named or max(gaps, default=0) > 2 else 3
    return (*(gap >= least for gap in gaps), False)


def _no_head(name: str, got: str) -> ValueError:
    return ValueError(f"head: expected linear layers from an image embedding to one number, {name} has {got}")
