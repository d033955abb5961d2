"""The language of block weights: `D00-D18=1; S*=0.5; S07,S12=0; L18-L25.mlp=0.8; TE.*=0; default=1  # note`."""
import math
import random
import re
from typing import NamedTuple

from ...shared.text_syntax import lines, shorten
from .look_alikes import hint

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
DEFAULT = "default"
LINEAR = re.compile(r"linear\s*\(([^,()]*),([^,()]*)\)", re.IGNORECASE)
LABEL = re.compile(r"\s*[^\s,:;=][^,:;=]*:")
RANDOM = {"R": (0.0, 3.0), "U": (-1.5, 1.5)}  # of the Inspire Pack, as are the names
LETTERS = {"A": "A", "a": "a", "B": "B", "b": "b", "R": "R", "r": "R", "U": "U", "u": "U"}
Scalar = float | str  # a number, or a letter that Settings knows


class Ramp(NamedTuple):
    """A value: the same for every block, or one that runs from start to end over the blocks it is given to."""
    start: Scalar
    end: Scalar


class Statement(NamedTuple):
    """selectors = value"""
    selectors: tuple[str, ...]
    value: Ramp


class Vector(NamedTuple):
    """Values alone, whose blocks follow from how many there are. An item of several values is for Inspire's reading."""
    items: tuple[tuple[Scalar, ...], ...]


class InspirePercent(NamedTuple):
    """Inspire's `%default=1,in1-3=0.5`, without the percent sign."""
    text: str


class Preset(NamedTuple):
    """A name alone, for a text of this language."""
    name: str


Item = Statement | Vector | InspirePercent | Preset


def parse(text: str) -> tuple[Item, ...]:
    """Reads the text without knowing the model. Raises ValueError, which quotes the piece that cannot be read."""
    read = []
    for piece in filter(str.strip, "\n".join(lines(text, "blocks")).split(";")):
        read += [InspirePercent(piece.strip()[1:])] if piece.strip().startswith("%") else _lines(piece)
    return tuple(read)


def write(spec: tuple[Item, ...]) -> str:
    """The text that parse reads as spec."""
    return "; ".join(_written(item) for item in spec)


def _written(item: Item) -> str:
    if isinstance(item, Statement):
        start, end = map(_plain, item.value)
        return f"{','.join(item.selectors)}={start if start == end else f'linear({start}, {end})'}"
    if isinstance(item, Vector):
        return ",".join(" ".join(map(_plain, values)) for values in item.items)
    return f"%{item.text}" if isinstance(item, InspirePercent) else item.name


def _plain(scalar: Scalar) -> str:
    return scalar if isinstance(scalar, str) else repr(float(scalar)).removesuffix(".0")


def _lines(piece: str) -> list[Item]:
    """Statements and names stand on a line each, between which a vector may run over several."""
    read, vector = [], []
    for line in [*filter(str.strip, piece.splitlines()), ""]:
        if "=" in line or not line:
            read += _values("\n".join(vector)) if vector else []
            vector = []
            read += [_statement(line.strip())] if line else []
        else:
            vector.append(line)
    return read


def _values(lines: str) -> list[Item]:
    if "," in lines:
        label = LABEL.match(lines)
        return [_vector(lines[label.end() if label else 0:].strip())]
    return [_preset(line.strip()) for line in lines.splitlines()]


def _statement(piece: str) -> Statement:
    left, equals, right = piece.partition("=")
    selectors = tuple(DEFAULT if name.strip().lower() == DEFAULT else name.strip() for name in left.split(","))
    if not equals or not all(selectors):
        raise ValueError(f'blocks: "{shorten(piece)}" is not of the form NAME=NUMBER, such as IN04=0.5' + hint(left))
    if told := hint("".join(selectors)):
        raise ValueError(f'blocks: "{shorten(piece)}" names no block' + told)
    linear = LINEAR.fullmatch(right.strip())
    if DEFAULT in selectors and (linear or len(selectors) > 1):
        raise ValueError(f'blocks: "{shorten(piece)}" asks too much of default, which stands alone and takes one '
                         "number")
    if linear:
        return Statement(selectors, Ramp(_fixed(linear[1], piece), _fixed(linear[2], piece)))
    value = _scalar(right, piece)
    return Statement(selectors, Ramp(value, value))


def _vector(piece: str) -> Vector:
    if piece.rstrip().endswith(","):
        raise ValueError(f'blocks: "{shorten(piece)}" has no number after its last comma' + hint(piece))
    return Vector(tuple(tuple(_scalar(value, piece) for value in item.split() or [""]) for item in piece.split(",")))


def _preset(line: str) -> Preset:
    if NUMBER.fullmatch(line) or not re.fullmatch(r"\w[\w.+ -]*", line):
        raise ValueError(f'blocks: "{shorten(line)}" has no value; write NAME=NUMBER, such as IN04=0.5' + hint(line))
    return Preset(line)


def _scalar(text: str, piece: str) -> Scalar:
    text = text.strip()
    if text in LETTERS:
        return LETTERS[text]
    if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(f'blocks: "{shorten(text)}" in "{shorten(piece)}" is not a number, nor A, B, R or U'
                         + hint(text))
    return float(text)


def _fixed(text: str, piece: str) -> Scalar:
    value = _scalar(text, piece)
    if value in RANDOM:
        raise ValueError(f'blocks: "{shorten(piece)}" asks for a ramp between random numbers; write {value} alone')
    return value


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
            low, high = RANDOM[value.start]
            return [round(random.Random(f"{self.seed} {name}").uniform(low, high), 2) for name in names]
        start, end = self.number(value.start), self.number(value.end)
        return [start + (end - start) * i / max(len(names) - 1, 1) for i in range(len(names))]


NAMED = Settings()
