"""The names under which a LoRA is written: the host's own maps of names, read backwards.

A target is what comfy.lora.load_lora calls one: a state-dict key, or (key, (dimension, start, length) or None,
function) for a slice of a fused weight. Three formats: `comfy` (module paths), `kohya` (lora_unet_...), `diffusers`.
"""
from collections.abc import Callable, Mapping
from typing import NamedTuple

import comfy.lora
import torch
from torch import Tensor

FORMATS = ("comfy", "kohya", "diffusers")
PREFIXES = {"comfy": ("diffusion_model.", "text_encoders."), "kohya": ("lora_unet_", "lora_te"),
            "diffusers": ("transformer.", "unet.", "text_encoder.", "text_encoder_2.")}
NATIVE = PREFIXES["comfy"]
FLUX_2_ONLY = (".to_qkv_mlp_proj", ".linear_in", ".linear_out")
Target = str | tuple


class NamedSlice(NamedTuple):
    """A part of a weight that a format names by itself: rows start to start + length, reordered by function."""
    name: str
    offset: tuple[int, int, int] | None
    function: Callable[[Tensor], Tensor] | None


class Names:
    """What a format calls the weights of a model and a CLIP. Every name is one that the host's loader maps back."""

    def __init__(self, known: Mapping[str, Target], style: str, flux_2: bool = False):
        chosen = [name for name in known if name.startswith(PREFIXES[style]) and not _foreign(name, known, flux_2)]
        if style == "kohya":
            chosen = _as_kohya_writes(chosen, known)
        if flux_2:
            chosen.reverse()  # the host lists the names of Flux.1 first
        self.style, self.known, self._whole, self._parts = style, known, {}, {}
        for name in chosen:
            self._sort_in(name, known[name])
        self._native = {target: name for name, target in known.items() if name.startswith(NATIVE)}

    def _sort_in(self, name: str, target: Target) -> None:
        key, offset, function = (target, None, None) if isinstance(target, str) else (*target, None, None)[:3]
        if offset is None and function is None:
            self._whole.setdefault(key, name)
        elif all(part.offset != offset for part in self._parts.setdefault(key, [])):
            self._parts[key].append(NamedSlice(name, offset, function))

    def whole(self, key: str) -> str | None:
        """The name of a whole weight in this format."""
        return self._whole.get(key)

    def part(self, key: str, offset: tuple[int, int, int]) -> NamedSlice | None:
        """The name of a slice in this format."""
        return next((part for part in self._parts.get(key, ()) if part.offset == offset and not part.function), None)

    def parts(self, key: str, count: Callable[[], int]) -> list[NamedSlice]:
        """Named slices that together are the whole weight, whose rows `count` gives; [] when there are none."""
        if not self._parts.get(key):
            return []
        rows = count()
        parts = sorted(self._parts[key], key=lambda part: part.offset or (0, 0, rows))
        at = 0
        for part in parts:
            dim, start, length = part.offset or (0, 0, rows)
            if dim or start != at:
                return []
            at += length
        return parts if at == rows else []

    def native(self, key: str) -> str | None:
        """The module path, which is there for every weight, whatever the format."""
        return self._native.get(key)

    def bias(self, key: str) -> tuple[str, str] | None:
        """Name and ending for the change of a bias."""
        weight = f"{key.removesuffix('.bias')}.weight"
        for name in (self.whole(weight), self.native(weight)):
            if name:
                return name, ".diff_b"
        return (self.native(key), ".diff") if self.native(key) else None


def model_names(module: torch.nn.Module, style: str, encoders: torch.nn.Module | None = None) -> Names:
    """The names for the weights of a model of the host, and of its text encoders where they are given."""
    return Names(host_names(module, encoders), style, module.model_config.unet_config.get("image_model") == "flux2")


def host_names(module: torch.nn.Module, encoders: torch.nn.Module | None = None) -> dict[str, Target]:
    """Every name the host's loader knows for the weights of a model, and of its text encoders where they are given."""
    names = comfy.lora.model_lora_keys_unet(module, {})
    return names if encoders is None else comfy.lora.model_lora_keys_clip(encoders, names)


def format_of(name: str) -> str:
    """The format that a name of a module has."""
    return "comfy" if name.startswith(NATIVE) else "kohya" if name.startswith("lora_") else "diffusers"


def tensors_of(name: str, patch, style: str) -> dict[str, Tensor]:
    """The tensors of a patch of strength 1 under a name, as the host's loader and the format's own tools read them."""
    if isinstance(patch, tuple):
        return {name + {"diff": ".diff", "set": ".set_weight"}[patch[0]]: patch[1][0]}
    return _present(_WRITERS[patch.name](name, patch.weights, style))


def _foreign(name: str, known: Mapping[str, Target], flux_2: bool) -> bool:
    """Whether a name of the Flux map belongs to the other generation of Flux."""
    if flux_2:
        return name.startswith("transformer.single_") and isinstance(known[name], tuple)
    return name.startswith("transformer.") and name.endswith(FLUX_2_ONLY)


def _as_kohya_writes(names: list[str], known: Mapping[str, Target]) -> list[str]:
    """kohya's trainers call SDXL's blocks input_blocks, SD's down_blocks, and number encoders if there are two."""
    sdxl = "lora_unet_label_emb_0_0" in known
    numbered = any(name.startswith("lora_te2_") for name in names)
    last = [name for name in names if ("_attentions_" in name or "_resnets_" in name or "samplers_" in name) == sdxl
            or (name.startswith("lora_te_") and numbered) or (name.startswith("lora_te1_") and not numbered)]
    late = set(last)
    return [name for name in names if name not in late] + last


def _present(tensors: Mapping[str, Tensor | float | None]) -> dict[str, Tensor]:
    return {key: value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float32)
            for key, value in tensors.items() if value is not None}


def _lora(name, weights, style):
    up, down, alpha, mid, dora, reshape = weights
    reshape = None if reshape is None else torch.tensor(reshape)
    rest = {f"{name}.dora_scale": dora, f"{name}.reshape_weight": reshape}
    if style != "diffusers":
        return {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down, f"{name}.lora_mid.weight": mid,
                f"{name}.alpha": alpha, **rest}
    if mid is not None:  # diffusers keeps no core
        down = torch.einsum("mn...,nj->mj...", mid.float(), down.float().flatten(1))
    if alpha is not None and alpha != down.shape[0]:
        up = up.float() * (alpha / down.shape[0])  # diffusers keeps no alpha
    first, second = _diffusers_endings(name)
    return {name + first: up, name + second: down, **rest}


def _diffusers_endings(name: str) -> tuple[str, str]:
    if ".processor." in name:
        return "_lora.up.weight", "_lora.down.weight"
    if name.startswith("unet."):
        return ".lora.up.weight", ".lora.down.weight"
    return ".lora_B.weight", ".lora_A.weight"


def _by_endings(*endings: str):
    return lambda name, weights, style: {name + ending: w for ending, w in zip(endings, weights, strict=True)}


_WRITERS = {
    "lora": _lora,
    "loha": _by_endings(".hada_w1_a", ".hada_w1_b", ".alpha", ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2",
                        ".dora_scale"),
    "lokr": _by_endings(".lokr_w1", ".lokr_w2", ".alpha", ".lokr_w1_a", ".lokr_w1_b", ".lokr_w2_a", ".lokr_w2_b",
                        ".lokr_t2", ".dora_scale"),
    "glora": _by_endings(".a1.weight", ".a2.weight", ".b1.weight", ".b2.weight", ".alpha", ".dora_scale"),
    "oft": _by_endings(".oft_blocks", ".rescale", ".alpha", ".dora_scale"),
    "boft": _by_endings(".oft_blocks", ".rescale", ".alpha", ".dora_scale"),
}
