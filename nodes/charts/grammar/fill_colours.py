"""What fills a mark: a colour by name or number, or a column, whose values become colours."""
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..drawing.theme import Colour, Theme, ramp
from .ticks import written_among

HEX = re.compile(r"#([0-9a-fA-F]{6})")


class Column(NamedTuple):
    """What a column of colours holds: the least and the greatest of its numbers, or its names with their places."""
    ends: tuple[float, float] | None
    names: dict[Any, int]
    literal: bool


class Fills:
    """The colours of one plot: names in order of appearance take the theme's series, numbers the heat ramp.

    A column of colours (`#1f2e3d`) is taken at its word. Raises ValueError for what is neither column nor colour."""

    def __init__(self, uses: Sequence[tuple[Sequence[Mapping], Mapping[str, Any]]], theme: Theme):
        """uses: (rows, channels) of every mark."""
        self.theme = theme
        values: dict[str, list] = {}
        for rows, channels in uses:
            for channel in ("fill", "stroke"):
                column = channels.get(channel)
                if isinstance(column, str) and rows and column in rows[0]:
                    values.setdefault(column, []).extend(row[column] for row in rows)
        self.columns = {column: _column(each) for column, each in values.items()}

    def __call__(self, mark, rows, default: Colour | None = None) -> Colour:
        return self.of(mark.options.get("fill"), rows, default or self.theme.series[0])

    def stroke(self, mark, rows) -> Colour | None:
        stroke = mark.options.get("stroke")
        return None if stroke is None else self.of(stroke, rows, self.theme.ink)

    def of(self, channel, rows, default: Colour) -> Colour:
        if channel is None:
            return default
        if channel in self.columns and rows and channel in rows[0]:
            return self.by_value(channel, rows[0][channel])
        return literal(channel, self.theme)

    def by_value(self, column: str, value) -> Colour:
        if isinstance(value, str) and HEX.fullmatch(value):
            return literal(value, self.theme)
        held = self.columns[column]
        if held.ends:
            low, high = held.ends
            return self.warmth((value - low) / (high - low) if high > low else 0.5)
        return self.theme.series[held.names[value] % len(self.theme.series)]

    def warmth(self, share: float) -> Colour:
        """The colour of a share of the way from the least to the greatest number."""
        low, high = self.theme.heat
        return tuple((ramp(torch.tensor(low + (high - low) * share)) * 255).round().int().tolist())

    def legend(self) -> list[tuple[str, Colour]]:
        """(name, colour) of every name that a colour stands for; of numbers the least and the greatest."""
        entries = []
        for column, held in self.columns.items():
            if held.ends:
                low, high = (written_among(end, *held.ends) for end in held.ends)
                entries += [(f"{column} {low}", self.warmth(0)), (high, self.warmth(1))]
            elif not held.literal:
                entries += [(str(name), self.by_value(column, name)) for name in held.names]
        return entries


def _column(values: list) -> Column:
    names = {name: number for number, name in enumerate(dict.fromkeys(values))}
    numbers = all(isinstance(value, (int, float)) for value in names)
    return Column((min(names), max(names)) if numbers else None, names, any(HEX.fullmatch(str(n)) for n in names))


def literal(channel, theme: Theme) -> Colour:
    if found := HEX.fullmatch(str(channel)):
        return tuple(bytes.fromhex(found[1]))
    roles = {name: value for name, value in theme._asdict().items() if name not in ("series", "heat")}
    if channel in roles:
        return roles[channel]
    raise ValueError(f"spec: expected a column, a colour such as #0068a6 or one of {', '.join(roles)}; got {channel!r}")
