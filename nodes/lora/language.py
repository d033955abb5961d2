"""The language of block weights: `D00-D18=1; S*=0.5; S07,S12=0; L18-L25.mlp=0.8; TE.*=0; default=1  # note`."""
import math
import re
from typing import NamedTuple

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
DEFAULT = "default"
LINEAR = re.compile(r"linear\s*\(([^,()]*),([^,()]*)\)", re.IGNORECASE)


class Ramp(NamedTuple):
    """A value: the same number for every block, or one that runs from start to end over the blocks it is given to."""
    start: float
    end: float

    def over(self, count: int) -> list[float]:
        return [self.start + (self.end - self.start) * i / max(count - 1, 1) for i in range(count)]


class Statement(NamedTuple):
    """selectors = value"""
    selectors: tuple[str, ...]
    value: Ramp


class Vector(NamedTuple):
    """Numbers alone, whose blocks follow from how many there are."""
    numbers: tuple[float, ...]


def parse(text: str) -> tuple[Statement | Vector, ...]:
    """Reads the text without knowing the model. Raises ValueError, which quotes the piece that cannot be read."""
    text = "\n".join(line.partition("#")[0] for line in text.splitlines())
    read = []
    for piece in filter(str.strip, text.split(";")):
        if "=" in piece:
            read += [_statement(line.strip()) for line in piece.splitlines() if line.strip()]
        else:
            read.append(_vector(piece.strip()))
    return tuple(read)


def _statement(piece: str) -> Statement:
    left, equals, right = piece.partition("=")
    selectors = tuple(DEFAULT if name.strip().lower() == DEFAULT else name.strip() for name in left.split(","))
    if not equals or not all(selectors):
        raise ValueError(f'blocks: "{piece}" is not of the form NAME=NUMBER, such as IN04=0.5')
    linear = LINEAR.fullmatch(right.strip())
    if DEFAULT in selectors and (linear or len(selectors) > 1):
        raise ValueError(f'blocks: "{piece}" asks too much of default, which stands alone and takes one number')
    if linear:
        return Statement(selectors, Ramp(_number(linear[1], piece), _number(linear[2], piece)))
    number = _number(right, piece)
    return Statement(selectors, Ramp(number, number))


def _vector(piece: str) -> Vector:
    if "," not in piece:
        raise ValueError(f'blocks: "{piece}" has no value; write NAME=NUMBER, such as IN04=0.5')
    return Vector(tuple(_number(item, piece) for item in piece.split(",")))


def _number(text: str, piece: str) -> float:
    if not NUMBER.fullmatch(text.strip()) or not math.isfinite(float(text)):
        raise ValueError(f'blocks: "{text.strip()}" in "{shorten(piece)}" is not a number')
    return float(text)


def shorten(text: str, limit: int = 120) -> str:
    """The text, cut to a length that an error message can carry."""
    return text if len(text) <= limit else text[:limit - 3] + "..."
