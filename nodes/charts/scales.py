"""Scales: from numbers and names to places on the paper."""
import math
from collections.abc import Sequence
from typing import NamedTuple


class Linear(NamedTuple):
    """Numbers from low to high over `length` pixels."""
    low: float
    high: float
    length: float

    def __call__(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low) * self.length

    @property
    def per_unit(self) -> float:
        return self.length / (self.high - self.low)

    def ticks(self) -> list[tuple[str, float]]:
        """(label, place) of round numbers."""
        return [(f"{value:g}", self(value)) for value in ticks(self.low, self.high)]


class Named(NamedTuple):
    """Names in equal steps over `length` pixels."""
    names: tuple[str, ...]
    length: float

    def __call__(self, value) -> float:
        return (self.names.index(value) + 0.5) / len(self.names) * self.length

    def ticks(self) -> list[tuple[str, float]]:
        return [(str(name), self(name)) for name in self.names]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high, about so many: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = power * min((m for m in (1, 2, 5, 10) if m * power >= raw * 0.85), default=10)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def places(values: Sequence, length: float) -> Linear | Named:
    """A scale for scattered values: numbers with a rim around them, anything else by name."""
    if not all(isinstance(value, (int, float)) for value in values):
        return Named(tuple(dict.fromkeys(values)), length)
    low, high = min(values), max(values)
    rim = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return Linear(low - rim, high + rim, length)


def lengths(low: float, high: float, length: float) -> Linear:
    """A scale for lengths, which starts at zero or reaches below it."""
    low, high = min(0.0, low), max(0.0, high)
    return Linear(low, high if high > low else low + 1.0, length)
