"""LoRAs in rows, one a line, in the form of a prompt's tags: `<lora:ink:0.8:lbw=MID=0>`; `#` before one mutes it."""
from typing import NamedTuple

import folder_paths

from ...shared.text_syntax import check_length, shorten
from ..block_weights.block_language import NAMED, Settings
from ..file.lora_names import LoraNames
from .prompt_tags import MOST_SENTENCES, TAG, layer_of
from .stack import Layer

MUTED = "#"
MOST_ROWS = 200


class Rows(NamedTuple):
    """layers: the LoRAs that count, in their order. muted: the tags of those that do not, as they are written."""
    layers: tuple[Layer, ...] = ()
    muted: tuple[str, ...] = ()


def read_rows(text: str, settings: Settings = NAMED) -> Rows:
    """The rows of a text. A line after # that holds no tag is a note, and what a muted one names need not exist.

    settings: how block weights are read where a row says nothing else. Raises ValueError with a sentence for each row
    that cannot be read (five at most) and each name that no file, or more than one, has."""
    check_length(text, "rows")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > MOST_ROWS:
        raise ValueError(f"rows: expected at most {MOST_ROWS} lines, got {len(lines)}")
    names, layers, muted, problems = _names(lines), [], [], []
    for number, line in lines:
        if line.startswith(MUTED):
            muted += [tag[0] for tag in TAG.finditer(line)]
            continue
        try:
            layers.append(_layer(line, names, settings))
        except ValueError as error:
            problems.append(f'rows: in line {number}, "{shorten(line)}", {error}')
    if problems:
        more = [f"rows: {len(problems) - MOST_SENTENCES} more lines cannot be read"]
        raise ValueError("\n".join(problems[:MOST_SENTENCES] + more * (len(problems) > MOST_SENTENCES)))
    return Rows(tuple(layers), tuple(muted))


def _names(lines: list[tuple[int, str]]) -> LoraNames:
    used = any(not line.startswith(MUTED) for _, line in lines)
    return LoraNames(folder_paths.get_filename_list("loras") if used else ())


def _layer(line: str, names: LoraNames, settings: Settings) -> Layer:
    tag = TAG.fullmatch(line)
    if not tag:
        raise ValueError("expected one LoRA such as <lora:ink:0.8> or <lora:ink:0.8:0.6:lbw=MID=0>")
    return layer_of(tag, names, settings)
