"""What the letters in a text of block weights stand for."""
import random
from typing import NamedTuple

from .language import RANDOM, Ramp, Scalar

RANGES = {"R": (0.0, 3.0), "U": (-1.5, 1.5)}  # of the Inspire Pack, as are the names


class Settings(NamedTuple):
    """What stands beside the text: the inputs vector_mode, seed, a and b."""
    vector_mode: str = "named"
    seed: int = 0
    a: float = 4.0
    b: float = 1.0

    def number(self, scalar: Scalar) -> float:
        """A number itself; A and B are the inputs a and b, small letters the half of them."""
        if not isinstance(scalar, str):
            return scalar
        return {"A": self.a, "a": self.a / 2, "B": self.b, "b": self.b / 2}[scalar]

    def ratios(self, value: Ramp, names: list[str]) -> list[float]:
        """A number for each name. R and U draw with a generator that depends on the seed and the name alone, so a
        block keeps its number whatever else the text says, and no other generator is disturbed."""
        if value.start in RANDOM:
            low, high = RANGES[value.start]
            return [round(random.Random(f"{self.seed} {name}").uniform(low, high), 2) for name in names]
        start, end = self.number(value.start), self.number(value.end)
        return [start + (end - start) * i / max(len(names) - 1, 1) for i in range(len(names))]


NAMED = Settings()
