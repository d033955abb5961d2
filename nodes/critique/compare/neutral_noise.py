"""The noise of a difference: how far measures move when a picture is only resized, cropped, mirrored or saved."""
import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Noise(NamedTuple):
    """95 % of such edits move each column, each criterion's points, typicality and the reading by less than this."""
    columns: dict[str, float]
    criteria: dict[str, float]
    typicality: float
    light_and_colour: float
    pictures: int


@lru_cache(1)
def noise() -> Noise:
    """What `neutral_noise.json` holds; tests/benchmarks/bench_versions.py --noise measures it."""
    return Noise(**json.loads(Path(__file__).with_name("neutral_noise.json").read_text(encoding="utf-8")))
