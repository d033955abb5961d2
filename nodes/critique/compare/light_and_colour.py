"""Which of two versions of one picture looks spoiled in light and colour: eight measures with one curve each.

A curve says how much is held against a value, in log-odds: 0 nothing, below 0 a complaint such as "too red". The sum of
the eight is the reading of a version, and the difference of two readings is the log-odds that the higher one was left
as it was, so every difference is explained exactly by its eight parts. `light_and_colour.json` holds the curves and
what they were fitted on. They were learnt from photographs of landscapes and their spoiled copies; they say nothing
about different pictures and are no aim to steer by.
"""
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..measures import MEASURES
from ..picture.planes import CANONICAL, Picture

ROUGHNESS, ROUGHNESS_SIDE = "3D Fractal dimension", 800  # the one measure that size moves, at the side it was fitted at
MOST = 0.95  # the highest chance that is ever claimed
SPOILED = math.log(0.9 / 0.1)  # log-odds behind the base from which a candidate is marked: a chance of 90 %


class Curve(NamedTuple):
    """`log_odds` at the ascending values `x`, linear between them and level beyond; what too little and too much of the
    measure is called; the values that were seen when the curve was fitted."""
    x: tuple[float, ...]
    log_odds: tuple[float, ...]
    low: str
    high: str
    known: tuple[float, float]

    def at(self, value: float) -> float:
        return float(np.interp(value, self.x, self.log_odds))

    def complaint(self, value: float) -> str:
        """What the value suffers from, such as "too dark"; "" where nothing is held against it."""
        if self.at(value) == 0:
            return ""
        free = [x for x, odds in zip(self.x, self.log_odds, strict=True) if odds == 0]
        return self.low if value < free[0] else self.high


class Reading(NamedTuple):
    """The eight measures of one version, and what is held against each in log-odds."""
    measures: dict[str, float]
    parts: dict[str, float]

    @property
    def total(self) -> float:
        """The sum of the parts: 0 where nothing is held against the version."""
        return sum(self.parts.values())

    @property
    def unknown(self) -> list[str]:
        """The measures whose value lies outside all that the curves were fitted on."""
        return [name for name, value in self.measures.items()
                if not curves()[name].known[0] <= value <= curves()[name].known[1]]


@lru_cache(1)
def table() -> dict:
    """What `light_and_colour.json` holds."""
    return json.loads(Path(__file__).with_name("light_and_colour.json").read_text(encoding="utf-8"))


@lru_cache(1)
def curves() -> dict[str, Curve]:
    """The eight curves by the name of their measure."""
    return {name: Curve(tuple(entry["x"]), tuple(entry["log_odds"]), entry["low"], entry["high"],
                        tuple(entry["known"])) for name, entry in table()["curves"].items()}


def least() -> float:
    """Log-odds below which two versions do not differ: 95 % of the edits that leave a picture as it is move it less."""
    return table()["least"]


def measured(picture: Picture, known: Mapping[str, float] | None = None) -> Reading:
    """The reading of a picture of any size. known: measures that were taken at 1024 pixels already."""
    canonical, found = picture.at_longer_side(CANONICAL), {}
    for name in curves():
        if name == ROUGHNESS:
            found[name] = MEASURES[name](picture.at_longer_side(ROUGHNESS_SIDE)).item()
        else:
            found[name] = known[name] if known and name in known else MEASURES[name](canonical).item()
    return reading(found)


def reading(measures: Mapping[str, float]) -> Reading:
    """The reading of eight measures by the names of their columns."""
    found = {name: measures[name] for name in curves()}
    return Reading(found, {name: curves()[name].at(value) for name, value in found.items()})


def chance(better: Reading, worse: Reading) -> float:
    """The chance, 0..1, that of two versions of one picture `better` is the one that was left as it was."""
    return 1 / (1 + math.exp(worse.total - better.total))


def chance_in_words(better: Reading, worse: Reading) -> str:
    """`chance` as a percentage, never more than "over 95 %"."""
    share = chance(better, worse)
    return f"over {100 * MOST:.0f} %" if share > MOST else f"{100 * share:.0f} %"


def complaints(worse: Reading, better: Reading) -> list[tuple[str, float]]:
    """What speaks against one version beside another, the heaviest first: (word, log-odds below 0).

    Only what `worse` suffers from more than `better` does; the words are those of its own curve."""
    found = [(curves()[name].complaint(worse.measures[name]), worse.parts[name] - better.parts[name])
             for name in worse.parts]
    return sorted(((word, odds) for word, odds in found if odds < 0), key=lambda each: each[1])


def spoiled(candidate: Reading, base: Reading) -> str:
    """Why a candidate looks spoiled beside its base, such as "too red, too light"; "" where it does not.

    A veto, never a ranking: what passes is not thereby better."""
    if base.total - candidate.total < SPOILED:
        return ""
    return ", ".join(word for word, odds in complaints(candidate, base) if odds <= -table()["least"])
