"""What fills a mark: a colour by name or number, or a column, whose values become colours."""
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .theme import Colour, Theme, ramp

HEX = re.compile(r"#([0-9a-fA-F]{6})")


class Fills:
    """The colours of one plot: names in order of appearance take the theme's series, numbers the heat ramp.

    A column of colours (`#1f2e3d`) is taken at its word. Raises ValueError for what is neither column nor colour."""

    def __init__(self, uses: Sequence[tuple[Sequence[Mapping], Mapping[str, Any]]], theme: Theme):
        """uses: (rows, channels) of every mark."""
        self.theme = theme
        self.columns: dict[str, list] = {}
        for rows, channels in uses:
            for channel in ("fill", "stroke"):
                column = channels.get(channel)
                if isinstance(column, str) and rows and column in rows[0]:
                    self.columns.setdefault(column, []).extend(row[column] for row in rows)

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
        values = self.columns[column]
        if all(isinstance(v, (int, float)) for v in values):
            low, high = min(values), max(values)
            share = torch.tensor((value - low) / (high - low) if high > low else 0.5)
            return tuple((ramp(share) * 255).round().int().tolist())
        return self.theme.series[self.names(column).index(value) % len(self.theme.series)]

    def names(self, column: str) -> list:
        return list(dict.fromkeys(self.columns[column]))

    def legend(self) -> list[tuple[str, Colour]]:
        """(name, colour) of every value that a colour stands for, of columns of names."""
        return [(str(name), self.by_value(column, name)) for column, values in self.columns.items()
                if not any(isinstance(v, (int, float)) or HEX.fullmatch(str(v)) for v in values)
                for name in self.names(column)]


def literal(channel, theme: Theme) -> Colour:
    if found := HEX.fullmatch(str(channel)):
        return tuple(bytes.fromhex(found[1]))
    roles = {name: value for name, value in theme._asdict().items() if name != "series"}
    if channel in roles:
        return roles[channel]
    raise ValueError(f"spec: expected a column, a colour such as #0068a6 or one of {', '.join(roles)}; got {channel!r}")
