"""From the tensors of a LoRA to the patches of the host, by the names that the host has for a model's weights."""
from collections.abc import Callable, Mapping
from itertools import accumulate

import comfy.lora
import torch
from comfy.weight_adapter import LoKrAdapter

from ..model import maps

SLICED_BIAS = "().bias"  # where the host puts the bias of a slice of a fused weight, and then finds no such weight
BIASES = (".diff_b", ".b_norm")
NO_CHANGE = (*BIASES, ".alpha", ".dora_scale")


class ReadKeys(dict):
    """A LoRA that remembers which of its tensors the host took, because the host only logs those it did not.

    lost: the tensors that the host takes and does not use, by the reason."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]):
        super().__init__(tensors)
        self.read = set()
        self.lost: dict[str, list[str]] = {}
        self.stems: dict[str, list[str]] = {}
        """The tensors whose names begin with each of these and a "." or "_lora."."""
        for key in self:
            for stem in _stems(key):
                self.stems.setdefault(stem, []).append(key)

    def __getitem__(self, key):
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        return self[key] if key in self else default

    def skip(self, names: Mapping) -> None:
        """Counts the tensors of these names as taken, without making patches of them."""
        for name in names:
            self.read.update(self.stems.get(name, ()))


def nothing(target) -> bool:
    return False


def model_patches(tensors: Mapping[str, torch.Tensor], module, muted: Callable = nothing) -> dict:
    """The patches for a model of the host, such as ModelPatcher.model, by target and in the order it loads them.

    A target is a state-dict key or, for a slice of a fused weight, (key, (dimension, start, length), ...).
    muted: whether a target is left out anyway; None then stands for its patch. Raises ValueError for half an adapter.
    """
    return _patches(tensors, maps.of_model(module).names, muted)


def clip_patches(tensors: Mapping[str, torch.Tensor], module, muted: Callable = nothing) -> dict:
    """The same for text encoders of the host, such as CLIP.cond_stage_model."""
    return _patches(tensors, maps.of_encoders(module).names, muted)


def _patches(tensors: Mapping[str, torch.Tensor], names: Mapping, muted: Callable = nothing) -> dict:
    tensors = tensors if isinstance(tensors, ReadKeys) else ReadKeys(tensors)
    names = _mentioned(names, tensors)
    silent = {name: target for name, target in names.items() if muted(target)}
    tensors.skip(silent)
    patches = whole_patches(tensors, {name: names[name] for name in names if name not in silent})
    if patches.pop(SLICED_BIAS, None):
        biases = [name + end for name, target in names.items() if isinstance(target, tuple) for end in BIASES]
        _lose(tensors, "the host drops the bias of a slice", [key for key in biases if key in tensors])
    if len(set(names.values())) < len(names):
        _lose(tensors, "another name for the same weight comes after it", _overruled(names, tensors))
    return {target: coreless(patch) for target, patch in patches.items()} | dict.fromkeys(silent.values())


def whole_patches(tensors: Mapping[str, torch.Tensor], names: Mapping) -> dict:
    """comfy.lora.load_lora. Raises ValueError for half an adapter."""
    try:
        return comfy.lora.load_lora(tensors, names, log_missing=False)
    except (KeyError, AttributeError) as error:
        raise ValueError(f"LoRA: the file has only a part of an adapter, without {error}.") from None


def coreless(patch):
    """A LoKr with a Tucker core as the LoKr of whole factors that it means; anything else as it is.

    The host cannot apply the first: torch.kron refuses the strides that its einsum leaves."""
    if type(patch) is not LoKrAdapter or patch.weights[7] is None or patch.weights[1] is not None:
        return patch
    w1, _, alpha, w1_a, w1_b, w2_a, w2_b, core, dora_scale = patch.weights
    if core.ndim != 4 or core.shape[:2] != (len(w2_a), len(w2_b)):
        return patch  # shapes.problem says so
    w2 = torch.einsum("ijkl,jr,ip->prkl", core.float(), w2_b.float(), w2_a.float()).contiguous()
    scaled = w2 if alpha is None else w2 * (alpha / len(w2_b))
    return LoKrAdapter(patch.loaded_keys, (w1, scaled, None, w1_a, w1_b, None, None, None, dora_scale))


def _lose(tensors: ReadKeys, reason: str, keys: list[str]) -> None:
    if keys:
        tensors.lost.setdefault(reason, []).extend(keys)


def _mentioned(names: Mapping, tensors: ReadKeys) -> dict:
    """The names that some key of the file begins with, in the order of names.

    The host's load_lora tries each of its names, several for a weight, with every ending it knows."""
    return {name: names[name] for name in names if name in tensors.stems}


def _stems(key: str) -> list[str]:
    stems = list(accumulate(key.split("."), "{}.{}".format))
    return stems + [stem.removesuffix("_lora") for stem in stems if stem.endswith("_lora")]


def _overruled(names: Mapping, tensors: ReadKeys) -> list[str]:
    """The keys of the names that have a change for a weight for which a later name has one too."""
    by_target = {}
    for name, target in names.items():
        by_target.setdefault(target, []).append(name)
    found = []
    for rivals in filter(lambda rivals: len(rivals) > 1, by_target.values()):
        keys = [[key for key in tensors.stems[name] if not key.endswith(NO_CHANGE)] for name in rivals]
        found += [key for own in list(filter(None, keys))[:-1] for key in own]
    return found
