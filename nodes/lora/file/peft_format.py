"""LoRAs as PEFT and diffusers write them, put into the form that the host's loader reads.

Both may name the adapter in every key (`x.lora_A.style.weight`), keep alpha in the header alone
(`lora_adapter_metadata`), and train a bias (`x.lora_B.bias`). The host knows none of these. DoRA's magnitudes stay as
they are: patches/peft_dora.py applies them.
"""
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ...shared.text_syntax import shorten
from .peft_patterns import Patterns

HEADER = "lora_adapter_metadata"
MAGNITUDE = ".lora_magnitude_vector"
NAMED = re.compile(r"(.+\.(?:lora_[AB]|lora_magnitude_vector))\.(?!(?:weight|bias)$)([^.]+)(\.weight|\.bias)?")
DOWN = re.compile(r"(.+?)(?:\.lora_A|\.lora_down|\.lora\.down|_lora\.down|\.lora_linear_layer\.down)(?:\.weight)?")
BIAS = ".lora_B.bias"


class Readable(NamedTuple):
    """Tensors under names that the host's loader reads. implied: keys of which the file holds only the header's word.
    notes: sentences for the report."""
    tensors: dict[str, Tensor]
    implied: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def readable(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Readable:
    """The LoRA of a file with these tensors and this header."""
    tensors, named = _without_adapter_names(tensors)
    alphas, said = _header_alphas(tensors, metadata.get(HEADER))
    tensors |= {f"{module}.alpha": torch.tensor(alpha) for module, alpha in alphas.items()}
    return Readable(_with_bias_changes(tensors), frozenset(f"{module}.alpha" for module in alphas), named + said)


def other_adapter(key: str) -> str:
    """The name of the adapter in a key, where _without_adapter_names left it; else ""."""
    match = NAMED.fullmatch(key)
    return match[2] if match else ""


def _without_adapter_names(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of the adapter `default`, or else of the first, without its name in their keys."""
    matches = {key: match for key in tensors if (match := NAMED.fullmatch(key))}
    names = list(dict.fromkeys(match[2] for match in matches.values()))
    chosen = "default" if "default" in names else names[0] if names else ""
    plain = {key: match[1] + (match[3] or "") for key, match in matches.items() if match[2] == chosen}
    own = {key: plain.get(key, key).replace(f"{MAGNITUDE}.weight", MAGNITUDE) for key in tensors}
    kept = {(own[key] if own[key] not in tensors else key): tensors[key] for key in tensors}
    several = f"the file holds {len(names)} adapters; {chosen} is applied, the others are not"
    return kept, (several,) * (len(names) > 1)


def _header_alphas(tensors: Mapping[str, Tensor], text: str | None) -> tuple[dict[str, float], tuple[str, ...]]:
    """The alpha of every module for which only the header has one that matters, and what to say of it."""
    if not text:
        return {}, ()
    try:
        header = json.loads(text)
        settings = _by_component(header)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}, (f"the header's {HEADER} cannot be read; without it every alpha is the rank",)
    found = {}
    for key, tensor in tensors.items():
        match = DOWN.fullmatch(key)
        if not match or f"{match[1]}.alpha" in tensors or not tensor.ndim or not len(tensor):
            continue
        alpha = _alpha(match[1], settings, len(tensor))
        if alpha is not None and alpha != len(tensor):
            found[match[1]] = alpha
    scales = sorted({alpha / len(tensors[key]) for key in tensors
                     if (match := DOWN.fullmatch(key)) and (alpha := found.get(match[1])) is not None})
    shown = f"{scales[0]:g}" + (f" to {scales[-1]:g}" if len(scales) > 1 else "") if scales else ""
    said = (f"alpha as the header has it, {shown} times the rank, on {len(found)} weights",) * bool(found)
    return found, said + _unread_patterns(settings)


def _unread_patterns(settings: Mapping[str, dict]) -> tuple[str, ...]:
    patterns = [pattern for found in settings.values() for pattern in found["alpha_pattern"].unread]
    if not patterns:
        return ()
    return (f"not read of the header's alpha_pattern, as no regular expression or too much of one: {len(patterns)} "
            f"({shorten(', '.join(patterns))}); the weights that they are for may have another alpha",)


def _by_component(header: Mapping) -> dict[str, dict]:
    """The settings of PEFT by the component they are for, such as transformer; "" where the header names none."""
    settings: dict[str, dict] = {}
    for name, value in header.items():
        component, _, setting = name.rpartition(".")
        settings.setdefault(component, {})[setting] = value
    for found in settings.values():
        found["alpha_pattern"] = Patterns(dict((found.get("alpha_pattern") or {}).items()))
    return settings


def _alpha(module: str, settings: Mapping[str, dict], rank: int) -> float | None:
    """What the header says of a module; alpha of a rank-stabilised LoRA, scaled by alpha / sqrt(rank), as of others."""
    component, _, path = module.partition(".")
    found, path = (settings[component], path) if component in settings else (settings.get(""), module)
    if not found:
        return None
    alpha = found["alpha_pattern"].find(path)
    alpha = found.get("lora_alpha") if alpha is None else alpha
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not abs(alpha) < 1e30:
        return None
    return float(alpha) * (math.sqrt(rank) if found.get("use_rslora") is True else 1.0)


def _with_bias_changes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """PEFT adds scale * lora_B.bias to the bias, which is what the host calls a difference."""
    return {(f"{module}.diff_b" if module else key): (tensor * _scale(module, tensors) if module else tensor)
            for key, tensor in tensors.items() for module in [_biased(key, tensors)]}


def _biased(key: str, tensors: Mapping[str, Tensor]) -> str:
    module = key.removesuffix(BIAS)
    return module if key.endswith(BIAS) and f"{module}.diff_b" not in tensors else ""


def _scale(module: str, tensors: Mapping[str, Tensor]) -> float:
    alpha, down = tensors.get(f"{module}.alpha"), tensors.get(f"{module}.lora_A.weight")
    return 1.0 if alpha is None or down is None or not len(down) else float(alpha) / len(down)


def magnitudes(names: Iterable[str], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The keys of DoRA's magnitudes, by the names of their modules."""
    return {name: name + MAGNITUDE for name in names if name + MAGNITUDE in tensors}
