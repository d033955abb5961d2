"""From the tensors of a LoRA to the patches of the host, by the names that the host has for a model's weights."""
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import comfy.lora
import comfy.lora_convert
import torch
from comfy.weight_adapter import LoKrAdapter, LoRAAdapter, OFTAdapter

from ...shared.host_capabilities import require
from ..model import key_maps
from ..patches.adapter_parts import check_layout, part, with_parts
from ..patches.peft_dora import PeftDora
from ..patches.shape_check import own_problem
from . import key_endings
from .peft_format import magnitudes, other_adapter

SLICED_BIAS = "().bias"  # where the host puts the bias of a slice of a fused weight, and then finds no such weight
BIASES = (".diff_b", ".b_norm")
NO_CHANGE = (*BIASES, ".alpha", ".dora_scale")


class TrackedTensors(dict):
    """A LoRA that remembers which of its tensors the host took, because the host only logs those it did not.

    implied: keys that the file does not have, of which nothing is told. lost: the tensors that the host takes and does
    not use, by the reason."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], implied: Collection[str] = ()):
        super().__init__(tensors)
        self.read, self.implied = set(), frozenset(implied)
        self.lost: dict[str, list[str]] = {}
        self.empty = {key for key, tensor in tensors.items() if not tensor.numel()}
        self.stems: dict[str, list[str]] = {}
        """The tensors whose names begin with each of these and a "." or "_lora."."""
        for key in self:
            for stem in key_endings.stems(key):
                self.stems.setdefault(stem, []).append(key)

    def __getitem__(self, key):
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        return self[key] if key in self else default

    def take(self, keys: Iterable[str]) -> None:
        """Counts tensors as taken, without making patches of them."""
        self.read.update(keys)

    def lose(self, reason: str, keys: Iterable[str]) -> None:
        """Counts tensors as taken and not used, each for the first reason that is found."""
        known = self.implied.union(*self.lost.values())
        if keys := list(keys):
            self.take(keys)
            if told := [key for key in keys if key not in known]:
                self.lost.setdefault(reason, []).extend(told)

    def unread(self) -> list[str]:
        """The tensors that nobody took, in the order of the file."""
        return [key for key in self if key not in self.read and key not in self.implied]

    def of(self, name: str) -> list[str]:
        """The tensors of a module of this name: those that have a known ending after it."""
        return [key for key in self.stems.get(name, ()) if key_endings.is_known(key[len(name):])]


def converted(tensors: Mapping[str, torch.Tensor], implied: Collection[str] = ()) -> TrackedTensors:
    """The tensors under names that the host's loader knows. implied: those that the file does not have itself. Raises
    ValueError for half an adapter."""
    try:
        return TrackedTensors(comfy.lora_convert.convert_lora(dict(tensors)), implied)
    except (KeyError, AttributeError) as error:
        raise _half(error) from None


def never_muted(target) -> bool:
    return False


def model_patches(tensors: Mapping[str, torch.Tensor], module, muted: Callable = never_muted) -> dict:
    """The patches for a model of the host, such as ModelPatcher.model, by target and in the order it loads them.

    A target is a state-dict key or, for a slice of a fused weight, (key, (dimension, start, length), ...).
    muted: whether a target is left out anyway; None then stands for its patch. Raises ValueError for half an adapter.
    """
    return _patches(tensors, key_maps.of_model(module).names, muted)


def clip_patches(tensors: Mapping[str, torch.Tensor], module, muted: Callable = never_muted) -> dict:
    """The same for text encoders of the host, such as CLIP.cond_stage_model."""
    return _patches(tensors, key_maps.of_encoders(module).names, muted)


def _patches(tensors: Mapping[str, torch.Tensor], names: Mapping, muted: Callable = never_muted) -> dict:
    tensors = tensors if isinstance(tensors, TrackedTensors) else TrackedTensors(tensors)
    names = _mentioned(names, tensors)
    silent = {name: target for name, target in names.items() if muted(target)}
    tensors.take(key for name in silent for key in tensors.stems[name])
    patches = host_patches(tensors, {name: names[name] for name in names if name not in silent})
    if patches.pop(SLICED_BIAS, None):
        biases = [name + end for name, target in names.items() if isinstance(target, tuple) for end in BIASES]
        tensors.lose("the host drops the bias of a slice", [key for key in biases if key in tensors])
    if len(set(names.values())) < len(names):
        tensors.lose("another name for the same weight comes after it", _overruled(names, tensors))
    return {target: without_tucker_core(patch) for target, patch in patches.items()} | dict.fromkeys(silent.values())


def host_patches(tensors: TrackedTensors, names: Mapping) -> dict:
    """comfy.lora.load_lora, and DoRA as PEFT has it; what one module has twice, or has of rank 0, is counted as lost.

    Raises ValueError for half an adapter."""
    require("reading LoRAs")
    hollow = {name for name in names if not tensors.empty.isdisjoint(tensors.of(name))} if tensors.empty else set()
    tensors.lose("rank 0, which changes nothing", (key for name in hollow for key in tensors.of(name)))
    names = {name: target for name, target in names.items() if name not in hollow}
    before = len(tensors.read)
    try:
        patches = comfy.lora.load_lora(dict(tensors) if _reads_a_copy() else tensors, names, log_missing=False)
    except (KeyError, AttributeError) as error:
        raise _half(error) from None
    for patch in patches.values():
        check_layout(patch)
    if len(tensors.read) == before:
        applied = (name for name, target in names.items() if target in patches)
        tensors.take(key for name in applied for key in tensors.of(name))
    tensors.lose("another change of the same weight, under the same name, comes after it",
                 (key for name in names for key in key_endings.overruled(name, tensors.of(name))))
    scaled = (f"{name}.rescale" for name, target in names.items() if type(patches.get(target)) is OFTAdapter)
    tensors.lose("ComfyUI does not use the rescale of an OFT", [key for key in scaled if key in tensors])
    for name, key in magnitudes(names, tensors).items():
        patch = patches.get(names[name])
        if type(patch) is LoRAAdapter and patch.weights[3:] == (None, None, None):
            patches[names[name]] = PeftDora(patch.loaded_keys, (*patch.weights[:3], tensors[key]))
    return patches


def read_patches(tensors: Mapping[str, torch.Tensor], names: Mapping) -> dict:
    """host_patches of the tensors of a file, for whoever does not ask what became of each."""
    return host_patches(converted(tensors), names)


def _half(error: Exception) -> ValueError:
    return ValueError(f"LoRA: the file has only a part of an adapter, without {error}.")


def _reads_a_copy() -> bool:
    """Whether the host's loader converts names by itself, as newer ones do: what it reads is then not seen here."""
    return "convert_lora" in getattr(getattr(comfy.lora.load_lora, "__code__", None), "co_names", ())


def unread_reasons(tensors: TrackedTensors, names: Collection[str]) -> dict[str, str]:
    """Why the loader left tensors that belong to a weight it knows, by key. names: what it was asked for."""
    read, found = tensors.read, {}
    for key in tensors.unread():
        if name := next((stem for stem in reversed(key_endings.stems(key)) if stem in names), ""):
            twice = any(other in read and not other.endswith(NO_CHANGE) for other in tensors.of(name))
            found[key] = ("it belongs to another adapter of the file" if other_adapter(key)
                          else key_endings.reason(key[len(name):], twice))
    return found


def without_tucker_core(patch):
    """A LoKr with a Tucker core as the LoKr of whole factors that it means; anything else as it is.

    The host cannot apply the first: torch.kron refuses the strides that its einsum leaves."""
    if type(patch) is not LoKrAdapter or part(patch, "t2") is None or part(patch, "w2") is not None:
        return patch
    if own_problem(patch):
        return patch  # shape_check.problem says so
    alpha, w2_a, w2_b, core = (part(patch, name) for name in ("alpha", "w2_a", "w2_b", "t2"))
    w2 = torch.einsum("ijkl,jr,ip->prkl", core.float(), w2_b.float(), w2_a.float()).contiguous()
    scaled = w2 if alpha is None else w2 * (alpha / len(w2_b))
    return with_parts(patch, w2=scaled, alpha=None, w2_a=None, w2_b=None, t2=None)


def _mentioned(names: Mapping, tensors: TrackedTensors) -> dict:
    """The names that some key of the file begins with, in the order of names.

    The host's load_lora tries each of its names, several for a weight, with every ending it knows."""
    return {name: names[name] for name in names if name in tensors.stems}


def _overruled(names: Mapping, tensors: TrackedTensors) -> Iterator[str]:
    """The keys of the names that have a change for a weight for which a later name has one too."""
    by_target = {}
    for name, target in names.items():
        by_target.setdefault(target, []).append(name)
    for rivals in filter(lambda rivals: len(rivals) > 1, by_target.values()):
        keys = [[key for key in tensors.stems[name] if not key.endswith(NO_CHANGE)] for name in rivals]
        yield from (key for own in list(filter(None, keys))[:-1] for key in own)
