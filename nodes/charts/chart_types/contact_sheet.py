"""A contact sheet: small pictures in rows, each with its words below."""
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from ..drawing.scene import Node, fitted, image, layer, place, rect, text
from ..drawing.theme import Colour, Theme

SIDE, GAP, SIZE = 160, 18, 15
COLUMNS, FEW = 6, 4  # what fits in two rows of FEW columns stands in them, so that a node shows it larger
LINE = 18


class Cell(NamedTuple):
    """pixels [h, w, 3], 0..1, at most SIDE on a side; lines: the first is muted; frame: a colour around the picture."""
    pixels: torch.Tensor
    lines: Sequence[str]
    frame: Colour | None = None


def thumbnail(picture: torch.Tensor) -> torch.Tensor:
    """IMAGE [1, H, W, C] or planes of it with the longer side at SIDE: [h, w, C]."""
    height, width = picture.shape[1:3]
    scale = SIDE / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    mode = "area" if scale < 1 else "bilinear"
    return F.interpolate(picture.movedim(-1, 1).float(), size, mode=mode)[0].movedim(0, -1)


def sheet(cells: Sequence[Cell], theme: Theme, foot: str = "", together: int = 1) -> Node:
    """The scene of a sheet; as many columns as there are cells, at most COLUMNS. together: how many stay in a row."""
    lines = max(len(cell.lines) for cell in cells)
    wide, high = SIDE + GAP, SIDE + 8 + LINE * lines + GAP
    few = FEW // together * together
    columns = min(few if len(cells) <= 2 * few else COLUMNS, len(cells))
    placed = [place(GAP + (i % columns) * wide, GAP + (i // columns) * high, _cell(cell, theme))
              for i, cell in enumerate(cells)]
    width, height = GAP + columns * wide, GAP + -(-len(cells) // columns) * high
    if foot:
        placed.append(place(GAP, height - 6, text(foot, SIZE, theme.muted)))
        height += 24
    return layer(placed, width, height)


def _cell(cell: Cell, theme: Theme) -> Node:
    picture = image(cell.pixels)
    y = SIDE - picture.h        # on the line of the words below it
    framed = [place(-4, y - 4, rect(picture.w + 8, picture.h + 8, cell.frame))] if cell.frame else []
    words = [place(0, SIDE + 6 + LINE * i, fitted(line, SIZE, theme.ink if i else theme.muted, SIDE))
             for i, line in enumerate(cell.lines)]
    return layer([*framed, place(0, y, picture), *words], SIDE, SIDE + 8 + LINE * len(cell.lines))

