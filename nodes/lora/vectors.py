"""Comma vectors of older tools, turned into named weights by their length and the model's blocks.

Sources: sd-webui-lora-block-weight (12, 17, 20, 26, 61), Inspire Pack (12, 17, 20 on Flux, 21, 27, 58) and the Flux
sweep nodes (57). A vector names blocks here; it never counts the blocks that a file happens to contain.
"""
import re
from collections.abc import Collection

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
LAST_BLOCK = {"IN11": "SD 1 and 2", "IN08": "SDXL", "S37": "Flux"}  # the first of these that a model has decides


def named(numbers: Collection[float], aliases: Collection[str]) -> list[tuple[str, float]]:
    """The vector as (selectors, ratio) pairs, of which later ones win.

    UNet blocks that a layout leaves out get 0, as in sd-webui-lora-block-weight; elsewhere they keep their default.
    Raises ValueError when no layout of the model's family has that many numbers."""
    family = next((name for block, name in LAST_BLOCK.items() if block in aliases), None)
    layouts = LAYOUTS.get(family, {})
    if len(numbers) not in layouts:
        known = " or ".join(map(str, layouts)) if layouts else "no known number, so name its blocks"
        raise ValueError(f"blocks: a vector of {len(numbers)} numbers does not fit; this model takes {known}")
    unnamed = [] if family == "Flux" else [("IN*,MID,OUT*", 0.0)]
    return unnamed + list(zip(_words(layouts[len(numbers)]), numbers, strict=True))


def _words(layout: str) -> list[str]:
    words = []
    for word in layout.split():
        if run := re.fullmatch(r"([A-Z]+)(\d+)-[A-Z]+(\d+)", word):
            words += [f"{run[1]}{number:02d}" for number in range(int(run[2]), int(run[3]) + 1)]
        else:
            words.append(word)
    return words
