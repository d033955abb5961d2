"""Round numbers along an axis, and words for numbers that tell neighbours apart.

What is counted in steps is exact: seeds reach 2^64, and a float tells no two of them apart.
"""
import math
from decimal import Decimal
from fractions import Fraction

FIGURES = 6     # of a number where fewer would do
EXACT = 15      # figures that a float holds whatever the number


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high, about so many: steps of 1, 2 or 5 times a power of ten."""
    return [float(value) for value in _round_numbers(low, high, about)[0]]


def labelled(low: float, high: float, about: int = 5) -> list[tuple[str, Fraction]]:
    """(words, number) of the same."""
    values, step = _round_numbers(low, high, about)
    return [(written(value, step), value) for value in values]


def written(value: Fraction, step: Fraction) -> str:
    """A number in as many figures as tell it from its neighbours a step away."""
    if not value:
        return "0"
    figures = max(FIGURES, math.floor(math.log10(abs(value))) - math.floor(math.log10(step)) + 1)
    if figures <= EXACT:
        return f"{float(value):.{figures}g}"
    return str(value) if value.denominator == 1 else f"{Decimal(value.numerator) / value.denominator:f}"


def written_among(value: float, low: float, high: float) -> str:
    """A number in three figures of the way from low to high."""
    spread = Fraction(high) - Fraction(low)
    if not spread:
        return f"{value:.{FIGURES}g}"
    step = Fraction(10) ** (math.floor(math.log10(spread)) - 2)
    return written(round(Fraction(value) / step) * step, step)


def _round_numbers(low: float, high: float, about: int) -> tuple[list[Fraction], Fraction]:
    low, high = Fraction(low), Fraction(high)
    raw = (high - low) / about
    power = Fraction(10) ** math.floor(math.log10(raw))
    step = power * min((m for m in (1, 2, 5, 10) if m * power >= raw * Fraction(85, 100)), default=10)
    near = Fraction(1, 10 ** 9)     # of a step: an end that is a round number but for its last digits
    return [i * step for i in range(math.ceil(low / step - near), math.floor(high / step + near) + 1)], step
