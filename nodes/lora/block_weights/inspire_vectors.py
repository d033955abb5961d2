"""How the Inspire Pack reads a comma vector: by position over what the file happens to contain.

Kept so that an old workflow gives the same picture. The patches of a file are put in order by section and number. The
first value is for all that has no section, text encoders too. Each further value goes to the next patch whose number
differs from that of the patch before; patches between get what is left of the value's numbers ("0 1 0"), the last one
repeated, and so does all that comes after the last value. Two blocks that follow each other with the same number,
such as the last double and the first single block of a sparse file, therefore share a value, as they do there.
"""
import math
import re
from collections.abc import Hashable, Iterable, Mapping

import numpy as np

from ...shared.text_syntax import shorten
from ..model.blocks import MODEL_PREFIX
from .block_language import RANDOM, InspirePercent, Scalar, Settings, Vector, write

SECTIONS = {"in": "input_blocks", "mid": "middle_block", "out": "output_blocks", "double": "double_blocks",
            "single": "single_blocks"}
SHORTEST = 12
PERCENT = re.compile(r"(?P<section>default|base|(?:in|mid|out|double|single)(?P<first>\d{1,9})?(?:-(?P<last>\d{1,9}))?)"
                     r"=(?P<number>\d+(?:\.\d*)?|\.\d+)")
Target = Hashable  # a state-dict key, or a tuple that begins with one


def inspire_ratios(item: Vector | InspirePercent, targets: Iterable[Target], settings: Settings) -> dict[Target, float]:
    """The ratio of every target that a file has a patch for. targets: in the order in which the host loads them.

    Raises ValueError for a vector of fewer than 12 values and for a piece of a % text that cannot be read."""
    targets = list(targets)
    sections = {target: _section(target) for target in targets}
    inside = sorted((target for target in targets if sections[target]), key=sections.get)
    values = _percent(item, sections) if isinstance(item, InspirePercent) else item.items
    if isinstance(item, Vector) and len(values) < SHORTEST:
        raise ValueError(f'blocks: "{shorten(write((item,)))}" has {len(values)} values; vector_mode inspire takes '
                         f"{SHORTEST} or more")
    draw = _RandomValues(settings)
    ratios = _walk(inside, sections, values[1:], draw)
    base = draw(values[0])[0]  # drawn last
    return {target: ratios.get(target, base) for target in targets}


class _RandomValues:
    """The numbers of a value, drawn as the Inspire Pack would after numpy.random.seed."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.generator = np.random.RandomState(settings.seed % 2**31)

    def __call__(self, values: tuple[Scalar, ...]) -> list[float]:
        return [self._number(value) for value in values]

    def _number(self, value: Scalar) -> float:
        return round(self.generator.uniform(*RANDOM[value]), 2) if value in RANDOM else self.settings.number(value)


def _walk(inside: list[Target], sections: Mapping, values: tuple, draw: _RandomValues) -> dict[Target, float]:
    ratios, left, waiting, before = {}, [1.0], list(values), None
    for target in inside:
        number = sections[target][1]
        if number != before and waiting:
            left = draw(waiting.pop(0))
        elif len(left) > 1:
            left.pop(0)
        ratios[target] = left[0]
        before = number
    return ratios


def _section(target: Target) -> tuple[int, int] | None:
    """(place of the section, number of the block), or None for what belongs to no section."""
    key = target if isinstance(target, str) else target[0]
    for place, name in enumerate(SECTIONS.values()):
        if found := re.match(rf"{re.escape(MODEL_PREFIX)}{name}\.(\d+)", key):
            return place, int(found[1])
    return None


def _percent(item: InspirePercent, sections: Mapping[Target, tuple[int, int] | None]) -> list[tuple[float]]:
    """The vector that a % text means: base, then a value for each block that is there, counted from 1."""
    present = {place for place in sections.values() if place}
    counts = {name: sum(place == i for place, _ in present) for i, name in enumerate(SECTIONS)}
    pieces = [_piece(piece.strip()) for piece in item.text.split(",")]
    whole = {piece["section"]: float(piece["number"]) for piece in pieces if piece["section"] in ("default", "base")}
    default = whole.get("default", 1.0)
    numbers = {name: [default] * count for name, count in counts.items()}
    for piece in pieces:
        _set(numbers, piece)
    return [(value,) for value in [whole.get("base", default), *sum(numbers.values(), [])]]


def _piece(text: str) -> re.Match:
    if not (found := PERCENT.fullmatch(text)) or found["last"] and not found["first"]:
        raise ValueError(f'blocks: "{shorten(text)}" in a % text is not of the form default=1, base=1, in=1, in3=1 or '
                         f"in1-3=1 (with {', '.join(SECTIONS)})")
    if not math.isfinite(float(found["number"])):
        raise ValueError(f'blocks: the number of "{shorten(text)}" is not finite')
    return found


def _set(numbers: dict[str, list[float]], piece: re.Match) -> None:
    values = numbers.get(re.match("[a-z]+", piece["section"])[0])
    if values is None:  # default and base are read before
        return
    first = int(piece["first"] or 1)
    last = int(piece["last"] or piece["first"] or len(values))
    for position in range(max(first, 1), min(last, len(values)) + 1):
        values[position - 1] = float(piece["number"])
