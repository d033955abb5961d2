"""From the names in a LoRA file to an architecture and its blocks, before there is a model.

architectures.json holds what the host's own maps say of every architecture it loads; tests/lora/make_architectures.py
writes it. A flat name is a module's name without its tool's prefix, its parts joined by _, because kohya's names do not
tell _ from a dot.
"""
import functools
import json
import re
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from ..model.blocks import expand

PREFIX = re.compile(r"(lora_unet_|lora_transformer_|lora_prior_unet_|lycoris_|model\.diffusion_model\."
                    r"|diffusion_model\.|unet\.base_model\.model\.|base_model\.model\.|transformer\.|unet\.)_*")
ENCODER_LAYERS = {"clip_l": 12, "clip_g": 32, "clip_h": 24, "t5xxl": 24, "umt5xxl": 24, "mt5xl": 24, "hydit_clip": 24,
                  "qwen3_4b": 36, "qwen3_06b": 28, "qwen25_7b": 28, "gemma2_2b": 26}
CLIP_WIDTHS = {768: "clip_l", 3072: "clip_l", 1024: "clip_h", 4096: "clip_h", 1280: "clip_g", 5120: "clip_g"}
ENCODER = re.compile(r"(?:lora_(?:prior_)?te(?P<kohya>\d?)_|text_encoder(?P<diffusers>_\d)?[._]|"
                     r"text_encoders\.(?P<name>\w+?)\.transformer\.)(?P<path>.*)")
ENCODER_LAYER = re.compile(r"(?:encoder_layers|encoder_block|encoder_layer|^layers|model_layers)_(\d+)(?=_|$)")


class Architecture(NamedTuple):
    blocks: list[str]
    """Every alias, in the order of the model."""
    names: dict[str, str]
    """The start of a flat name and the alias it means; # stands for the number that both share."""
    paths: dict[str, str]
    """Module paths of numbered blocks, with # for the number, by the letters of their aliases."""
    widths: dict[str, list[int]]
    """Flat names with # for numbers, and the input widths of the weights that have them."""


class Reading(NamedTuple):
    """What the names of a file say: the architecture, or "", every alias to draw, and the alias of each module."""
    architecture: str
    blocks: list[str]
    aliases: dict[str, str]


@functools.cache
def architectures() -> dict[str, Architecture]:
    table = json.loads(Path(__file__).with_name("architectures.json").read_text(encoding="utf-8"))
    return {name: Architecture(**entry | {"blocks": list(expand(entry["blocks"]))}) for name, entry in table.items()}


def path(alias: str, entry: Architecture) -> str | None:
    """The module path of a block, which the language takes in place of its alias; None for text encoders."""
    number = re.search(r"\d+$", alias)
    if number and (found := entry.paths.get(alias[:number.start()])):
        return found.replace("#", str(int(number[0])))
    return "middle_block" if alias == "MID" else alias[len("BASE."):] if alias.startswith("BASE.") else None


def flat(name: str) -> str:
    return PREFIX.sub("", name, count=1).replace(".processor", "").replace(".", "_")


def template(name: str) -> str:
    """A flat name with # for its numbers, so that all the blocks of a list look alike."""
    return re.sub(r"(?<![A-Za-z0-9])\d+(?=_|$)|(?<=_block)\d+(?=_|$)", "#", name)


def read(modules: Mapping[str, int | None]) -> Reading:
    """The architecture whose modules fit best, from the modules of a file and the input width of each where known."""
    clips = _clips(modules)
    encoders = {name: alias for name in modules if (alias := _encoder(name, clips))}
    flats = {name: flat(name) for name in modules if name not in encoders}
    templates = {name: template(short) for name, short in flats.items()}
    scores = {name: _fit(entry, flats, templates, modules) for name, entry in architectures().items()}
    best = max(scores, key=scores.get)  # the first of equals: the table starts with what people use most
    if not scores[best][0]:
        return Reading("", _encoder_blocks(encoders.values()), encoders)
    entry = architectures()[best]
    aliases = {name: alias for name, short in flats.items() if (alias := block_of(short, entry))}
    return Reading(best, entry.blocks + _encoder_blocks(encoders.values()), aliases | encoders)


def _fit(entry: Architecture, flats: Mapping[str, str], templates: Mapping[str, str],
         widths: Mapping[str, int | None]) -> tuple[int, bool]:
    """How many modules the architecture has too, and whether they fill all its lists of blocks."""
    known, used, fits = set(entry.blocks), set(), 0
    for name, short in flats.items():
        found = entry.widths.get(templates[name])
        if found and (widths[name] is None or widths[name] in found) and (alias := block_of(short, entry)) in known:
            used.add(alias)
            fits += 1
    return fits, all(alias in used or alias.startswith("BASE.") for alias in entry.blocks)


def block_of(name: str, entry: Architecture) -> str:
    """The alias that a flat name means in an architecture, or ""."""
    for start in accumulate(name.split("_"), "{}_{}".format):
        if start in entry.names:
            return entry.names[start]
        number = re.search(r"\d+$", start)
        if number and (alias := entry.names.get(start[:number.start()] + "#")):
            return alias.replace("#", f"{int(number[0]):02d}")
    return ""


def _encoder(name: str, clips: Mapping[str, str]) -> str:
    match = ENCODER.match(name)
    if not match:
        return ""
    path = match["path"].replace(".", "_")
    encoder = match["name"] or _encoder_name(path, _number(match), clips)
    layer = ENCODER_LAYER.search(path)
    return encoder and f"TE.{encoder}." + (f"{int(layer[1]):02d}" if layer else "BASE")


def _number(match: re.Match) -> str:
    return match["kohya"] or (match["diffusers"] or "")[1:] or "1"


def _is_clip(path: str) -> bool:
    return path.startswith("text_model") or path == "text_projection"


def _clips(modules: Mapping[str, int | None]) -> dict[str, str]:
    """The CLIP that each number stands for: that of SD 1.x and SDXL, of SD 2.x or of Cascade have the same names.

    The widths of its layers tell, else how many there are: 12, 24 and 32."""
    found = {}
    for name, width in modules.items():
        match = ENCODER.match(name)
        if match and not match["name"] and _is_clip(path := match["path"].replace(".", "_")):
            layer = ENCODER_LAYER.search(path)
            found.setdefault(_number(match), []).append((CLIP_WIDTHS.get(width), int(layer[1]) if layer else 0))
    return {number: next((clip for clip, _ in rows if clip), None) or _clip_of(max(layer for _, layer in rows), number)
            for number, rows in found.items()}


def _clip_of(last: int, number: str) -> str:
    if number == "2" or last >= ENCODER_LAYERS["clip_h"]:
        return "clip_g"
    return "clip_h" if last >= ENCODER_LAYERS["clip_l"] else "clip_l"


def _encoder_name(path: str, number: str, clips: Mapping[str, str]) -> str:
    """The encoder that kohya and diffusers number, told by the names of its layers; "" where only the model knows."""
    if _is_clip(path):
        return clips[number]
    if path.startswith("encoder_block"):
        return "t5xxl"
    return "hydit_clip" if path.startswith("encoder_layer") else ""


def _encoder_blocks(aliases: Iterable[str]) -> list[str]:
    """All the layers of every encoder that is spoken of."""
    used = set(aliases)
    blocks = []
    for encoder in sorted({alias.split(".")[1] for alias in used}):
        listed = {f"TE.{encoder}.{n:02d}" for n in range(ENCODER_LAYERS.get(encoder, 0))}
        blocks += sorted(listed | {alias for alias in used if alias.startswith(f"TE.{encoder}.")})
    return blocks
