"""The language of block weights: `D00-D18=1; S*=0.5; S07,S12=0; L18-L25.mlp=0.8; TE.*=0; default=1  # note`."""
import math
import re
from typing import NamedTuple

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
DEFAULT = "default"
LINEAR = re.compile(r"linear\s*\(([^,()]*),([^,()]*)\)", re.IGNORECASE)
LABEL = re.compile(r"\s*[^\s,:;=][^,:;=]*:")
RANDOM = ("R", "U")
LETTERS = {"A": "A", "a": "a", "B": "B", "b": "b", "R": "R", "r": "R", "U": "U", "u": "U"}
Scalar = float | str  # a number, or a letter that values.Settings knows


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


class Percent(NamedTuple):
    """Inspire's `%default=1,in1-3=0.5`, without the percent sign."""
    text: str


class Preset(NamedTuple):
    """A name alone, for a text of this language."""
    name: str


Item = Statement | Vector | Percent | Preset


def parse(text: str) -> tuple[Item, ...]:
    """Reads the text without knowing the model. Raises ValueError, which quotes the piece that cannot be read."""
    text = "\n".join(line.partition("#")[0] for line in text.splitlines())
    read = []
    for piece in filter(str.strip, text.split(";")):
        read += [Percent(piece.strip()[1:])] if piece.strip().startswith("%") else _lines(piece)
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
    return f"%{item.text}" if isinstance(item, Percent) else item.name


def _plain(scalar: Scalar) -> str:
    return scalar if isinstance(scalar, str) else repr(float(scalar)).removesuffix(".0")


def _lines(piece: str) -> list[Item]:
    """Statements and names stand on a line each, between which a vector may run over several."""
    read, vector = [], ""
    for line in [*filter(str.strip, piece.splitlines()), ""]:
        if "=" in line or not line:
            read += _values(vector) if vector else []
            vector = ""
            read += [_statement(line.strip())] if line else []
        else:
            vector += line + "\n"
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
        raise ValueError(f'blocks: "{piece}" is not of the form NAME=NUMBER, such as IN04=0.5')
    linear = LINEAR.fullmatch(right.strip())
    if DEFAULT in selectors and (linear or len(selectors) > 1):
        raise ValueError(f'blocks: "{piece}" asks too much of default, which stands alone and takes one number')
    if linear:
        return Statement(selectors, Ramp(_fixed(linear[1], piece), _fixed(linear[2], piece)))
    value = _scalar(right, piece)
    return Statement(selectors, Ramp(value, value))


def _vector(piece: str) -> Vector:
    return Vector(tuple(tuple(_scalar(value, piece) for value in item.split() or [""]) for item in piece.split(",")))


def _preset(line: str) -> Preset:
    if NUMBER.fullmatch(line) or not re.fullmatch(r"\w[\w.+ -]*", line):
        raise ValueError(f'blocks: "{shorten(line)}" has no value; write NAME=NUMBER, such as IN04=0.5')
    return Preset(line)


def _scalar(text: str, piece: str) -> Scalar:
    text = text.strip()
    if text in LETTERS:
        return LETTERS[text]
    if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(f'blocks: "{text}" in "{shorten(piece)}" is not a number, nor A, B, R or U')
    return float(text)


def _fixed(text: str, piece: str) -> Scalar:
    value = _scalar(text, piece)
    if value in RANDOM:
        raise ValueError(f'blocks: "{shorten(piece)}" asks for a ramp between random numbers; write {value} alone')
    return value


def shorten(text: str, limit: int = 120) -> str:
    """The text, cut to a length that an error message can carry."""
    return text if len(text) <= limit else text[:limit - 3] + "..."
