"""Comma vectors of older tools, turned into named weights by their length and the model's blocks.

Sources: sd-webui-lora-block-weight (12, 17, 20, 26, 61), Inspire Pack (12, 17, 20 on Flux, 21, 27, 58) and the Flux
sweep nodes (57). A vector names blocks here; it never counts the blocks that a file happens to contain.
"""
import re
from collections import Counter
from collections.abc import Collection

from ...shared.text_syntax import shorten
from ..model.blocks import expand
from .block_language import Scalar, Vector, write

# Families of models by how many blocks of each letter they have, and by a module outside the blocks where another model
# has as many. The first two are UNets of the names below.
FAMILIES = {
    "SD 1 and 2": {"IN": 12, "OUT": 12}, "SDXL": {"IN": 9, "OUT": 9}, "Flux": {"D": 19, "S": 38},
    "Flux.2": {"D": 8, "S": 48}, "SD3 medium": {"J": 24}, "SD3 large": {"J": 38},
    "Qwen-Image": {"B": 60, "BASE.txt_norm": 1}, "Wan 14B": {"B": 40, "BASE.time_projection": 1},
    "Wan 1.3B": {"B": 30, "BASE.time_projection": 1}, "Z-Image": {"L": 30, "NR": 2, "CR": 2},
    "HunyuanVideo": {"D": 20, "S": 40}, "LTX-2": {"BASE.audio_patchify_proj": 1},
    "Kandinsky 6": {"BASE.audio_outLayer": 1}, "MiniMax-H3": {"TR": 2, "BASE.audio_patch_proj": 1},
    "Qwen-Image 2.1": {"B": 32, "BASE.modulation": 1}, "Anima": {"LLM": 6, "BASE.t_embedding_norm": 1},
}
# One word a number; commas join what shares it. BASE of these tools takes in the text encoders.
LAYOUTS = {
    "SD 1 and 2": {
        17: "BASE,TE IN01 IN02 IN04 IN05 IN07 IN08 MID OUT03-OUT11",
        26: "BASE,TE IN00-IN11 MID OUT00-OUT11",
        27: "BASE,TE IN01-IN11 MID.0 MID.1 MID.2 OUT00-OUT11",
    },
    "SDXL": {
        12: "BASE,TE IN04 IN05 IN07 IN08 MID OUT00-OUT05",
        20: "BASE,TE IN00-IN08 MID OUT00-OUT08",
        21: "BASE,TE IN01-IN08 MID.0 MID.1 MID.2 OUT00-OUT08",
    },
    "Flux": {
        20: "BASE,TE D00-D17 D18,S*",
        57: "D00-D18 S00-S37",
        58: "BASE,TE D00-D18 S00-S37",
        61: "TE.clip_l TE.t5xxl BASE D00-D18 S00-S37 BASE.final_layer",
    },
}
UNNAMED = {"SD 1 and 2": "IN*,MID,OUT*", "SDXL": "IN*,MID,OUT*"}  # get 0 where a layout leaves them out


def family(aliases: Collection[str]) -> str:
    """The name in FAMILIES of the model that has blocks of these aliases, or ""."""
    counts = Counter(re.sub(r"^([A-Z]+)\d+$", r"\1", alias) for alias in aliases)
    return next((name for name, sizes in FAMILIES.items() if sizes.items() <= counts.items()), "")


def named(vector: Vector, aliases: Collection[str]) -> list[tuple[str, Scalar]]:
    """The vector as (selectors, value) pairs, of which later ones win.

    UNet blocks that a layout leaves out get 0, as in sd-webui-lora-block-weight; elsewhere they keep their default.
    Raises ValueError when no layout of the model's family has that many numbers."""
    model, text = family(aliases), shorten(write((vector,)))
    layouts = LAYOUTS.get(model, {})
    if len(vector.items) not in layouts:
        known = " or ".join(map(str, layouts)) if layouts else "no known number, so name its blocks"
        raise ValueError(f'blocks: "{text}", a vector of {len(vector.items)} numbers, does not fit; '
                         f"this model takes {known}")
    if any(len(values) > 1 for values in vector.items):
        raise ValueError(f'blocks: "{text}" has several numbers in one place, which only vector_mode inspire reads')
    unnamed = [(UNNAMED[model], 0.0)] if model in UNNAMED else []
    values = [value for value, in vector.items]
    return unnamed + list(zip(expand(layouts[len(values)]), values, strict=True))


def plain_layouts() -> dict[str, dict[int, dict]]:
    """What each place of a vector means, as plain data: {family: {length: {"words": [...], "rest": what gets 0}}}."""
    return {model: {length: {"words": list(expand(layout)), "rest": UNNAMED.get(model, "")}
                    for length, layout in lengths.items()} for model, lengths in LAYOUTS.items()}
