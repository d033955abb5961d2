"""LoRAs that a prompt names: `a cat <lora:ink:0.8>, <lora:wash:0.8:0.6:lbw=IN*=0.5; MID=0>`.

The form is that of AUTOMATIC1111's web UI and its lora-block-weight extension, and of the Impact and Inspire Packs:
a name, up to two numbers, `te=` and `unet=`, and block weights, after `lbw=` or alone. A name that holds `:`, `<` or
`>` stands in quotes: `<lora:"a:b":0.8>`.
"""
import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import folder_paths

from ...shared.text_syntax import check_length, shorten
from ..block_weights import presets
from ..block_weights.block_language import NAMED, NUMBER, Preset, Settings, parse, write
from ..file.lora_names import LoraNames
from .stack import Layer

TAG = re.compile(r'<(?:lora|lyco):(\s*"[^"\n]*"(?=\s*[:>])[^<>]*|[^<>]*)(>?)', re.IGNORECASE)
NAME = re.compile(r'\s*(?:"([^"\n]*)"\s*(?=:|$)|([^:]*))')
KEYWORD = re.compile(r"([a-z_]+)=(.*)", re.IGNORECASE | re.DOTALL)
INSPIRE_NUMBER = re.compile(r"\s*([AB])\s*=(.*)", re.DOTALL)
LABEL = re.compile(r"[a-z][\w.-]*", re.IGNORECASE)
STRONGEST = 100.0  # as of strength_model
OVER_TIME = ("start", "stop", "step")
MOST_TAGS, MOST_SENTENCES = 200, 5
BLANKS = " \t"
LEFT = f"{BLANKS}\r\n,"    # what stands about a tag that is taken out


class Tag(NamedTuple):
    """What a tag says of its LoRA. blocks: as text. numbers: its own a and b."""
    strength_model: float = 1.0
    strength_clip: float = 1.0
    blocks: str = ""
    numbers: dict[str, float] = {}


def read_prompt(text: str, settings: Settings = NAMED) -> tuple[str, tuple[Layer, ...]]:
    """The prompt without its tags, and the LoRAs that they name, in their order.

    settings: how block weights are read where a tag says nothing else. Raises ValueError with a sentence for each tag
    that cannot be read and each name that no file, or more than one, has."""
    check_length(text, "text")
    tags = list(TAG.finditer(text))
    if len(tags) > MOST_TAGS:
        raise ValueError(f"text: expected at most {MOST_TAGS} LoRAs, got {len(tags)}")
    names, layers, problems = LoraNames(folder_paths.get_filename_list("loras") if tags else ()), [], []
    for tag in tags:
        try:
            layers.append(layer_of(tag, names, settings))
        except ValueError as error:
            problems.append(f'text: in "{shorten(tag[0])}", {error}')
    if problems:
        more = [f"text: {len(problems) - MOST_SENTENCES} more tags cannot be read"]
        raise ValueError("\n".join(problems[:MOST_SENTENCES] + more * (len(problems) > MOST_SENTENCES)))
    return _clean(text, tags), tuple(layers)


def _clean(text: str, tags: Sequence[re.Match]) -> str:
    """The text without tags, and without the doubled blanks and commas that each of them leaves; else as it is."""
    starts, ends = [0, *(tag.end() for tag in tags)], [*(tag.start() for tag in tags), len(text)]
    clean, *others = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    for piece in others:
        clean = _joined(clean, piece)
    return clean.rstrip(LEFT) if others and not others[-1].strip(LEFT) else clean


def _joined(before: str, after: str) -> str:
    """Two pieces between which a tag stood."""
    start, end = before.rstrip(LEFT), after.lstrip(LEFT)
    return start + _gap(before[len(start):], after[:len(after) - len(end)]) + end if start else end


def _gap(before: str, after: str) -> str:
    """Of what stood on both sides of a tag: one comma of two, and no blank before a comma, a line's end or a blank."""
    if "," in before and "," in after:
        return before[:before.rindex(",") + 1] + after[after.rindex(",") + 1:]
    rest = after.lstrip(BLANKS)
    if rest:
        return before.rstrip(BLANKS) + rest
    return before + (rest if before[-1:].isspace() else after)


def layer_of(found: re.Match, names: LoraNames, settings: Settings = NAMED) -> Layer:
    """What a match of TAG names. Raises ValueError without the name of the input."""
    if not found[2]:
        raise ValueError("the tag is not closed by >")
    named = NAME.match(found[1])
    name = (named[1] or named[2] or "").strip().strip('"').strip()
    if not name:
        raise ValueError("there is no name of a LoRA")
    file, tag = names.find(name), _read(found[1][named.end():])
    return Layer(file, tag.strength_model, tag.strength_clip, _with_own_presets(tag.blocks),
                 settings._replace(**tag.numbers))


def _read(after: str) -> Tag:
    """What stands between the name and `>`. Raises ValueError without the name of the input."""
    _, *fields = (field.strip() for field in after.split(":"))
    said = {}
    for key, value in _said(fields):
        if key in said:
            raise ValueError(f"{key} stands twice")
        said[key] = value
    model = said.get("unet", said.get("model", 1.0))
    return Tag(model, said.get("te", said.get("clip", said.get("model", 1.0))), *_blocks(said.get("lbw", "")))


def _said(fields: list[str]) -> Iterator[tuple[str, float | str]]:
    """(model, clip, unet, te or lbw, value) of each field."""
    places, waiting = iter(("model", "clip")), list(fields)
    while waiting:
        field = waiting.pop(0)
        keyword = KEYWORD.fullmatch(field)
        key = keyword[1].lower() if keyword else ""
        if NUMBER.fullmatch(field):
            if not (place := next(places, "")):
                raise ValueError(f'"{shorten(field)}" is a third number; expected the strengths of model and CLIP')
            yield place, _strength(field)
        elif key in ("te", "unet"):
            yield key, _strength(keyword[2].strip())
        elif key == "lbw" or not keyword and ("," in field or LABEL.fullmatch(field)):
            weights = keyword[2].strip() if keyword else field
            labelled = LABEL.fullmatch(weights) and waiting and "," in waiting[0] and "=" not in waiting[0]
            yield "lbw", waiting.pop(0) if labelled else weights  # NAME:1,0,1,... as files of presets have it
        else:
            raise ValueError(_not_read(field, key))


def _not_read(field: str, key: str) -> str:
    if key in OVER_TIME:
        return f'"{shorten(field)}" is a change over the sampling, which Schedule LoRA makes'
    return (f'"{shorten(field)}" is not read; expected a strength such as 0.8, te=0.6, unet=0.8, or block weights such '
            "as lbw=MID=0")


def _strength(text: str) -> float:
    if not NUMBER.fullmatch(text) or not abs(value := float(text)) <= STRONGEST:
        raise ValueError(f'"{shorten(text)}" is no strength, a number from -{STRONGEST:g} to {STRONGEST:g}')
    return value


def _blocks(text: str) -> tuple[str, dict[str, float]]:
    """Block weights, and the numbers for A and B that the Inspire Pack lets stand beside them (`1,0,A,...;A=2;B=1`)."""
    kept, numbers = [], {}
    for piece in text.split(";"):
        if found := INSPIRE_NUMBER.fullmatch(piece):
            numbers[found[1].lower()] = _finite(found[2].strip())
        else:
            kept.append(piece)
    return ";".join(kept).strip("; \t\n"), numbers


def _finite(text: str) -> float:
    if not NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError(f'"{shorten(text)}" is no number for A or B')
    return value


def _with_own_presets(blocks: str) -> str:
    """The block weights, with names that only sd-webui-lora-block-weight knows replaced by ours. Raises ValueError."""
    spec = parse(blocks)
    own = tuple(Preset(presets.own_name(item.name)) if isinstance(item, Preset) else item for item in spec)
    presets.expand(own)
    return blocks if own == spec else write(own)
