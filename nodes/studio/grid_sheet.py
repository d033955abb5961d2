"""The sheet of a LoRA grid, drawn cell by cell while the grid fills: a sheet of a thousand cells takes seconds."""
from collections.abc import Sequence

import torch
from torch import Tensor

from ..charts.chart_types.contact_sheet import SIDE
from ..charts.drawing.draw import render
from ..charts.drawing.scene import Node, fitted, image, layer, place, rect, text
from ..charts.drawing.theme import LIGHT
from .lora_grid import Grid, Judge, Judged, best

HEAD, ROW, GAP, SIZE, FRAME = 46, 150, 14, 14, 4
WIDE, HIGH = SIDE + GAP, SIDE + 56
LEAST = 320         # pixels of its width


class Sheet:
    """A row for each LoRA, a column for each strength and text of block weights, the best cell in a frame."""

    def __init__(self, grid: Grid, by: Judge):
        self.grid, self.by, self.chosen = grid, by, None
        width, height = ROW + len(grid.columns) * WIDE, HEAD + len(grid.names) * HIGH
        self.pixels = torch.empty(height, max(width, LEAST), 3, dtype=torch.uint8)
        self.pixels[:] = torch.tensor(LIGHT.paper, dtype=torch.uint8)
        for number, column in enumerate(grid.columns):
            self._draw(ROW + number * WIDE, 4, _head(*column))
        for row, name in enumerate(grid.names):
            self._draw(GAP, HEAD + row * HIGH + 8, _name(name))

    def update(self, cells: Sequence[Judged]) -> None:
        """Draws the last of the cells, and the one that was and the one that is the best where that has changed."""
        before, self.chosen = self.chosen, best(cells, self.by)
        changed = [cells[-1]] if before is self.chosen else [cells[-1], self.chosen, *([before] if before else [])]
        for cell in {cell.setting: cell for cell in changed}.values():
            self._draw_cell(cell)

    @property
    def image(self) -> Tensor:
        """IMAGE [1, H, W, 3]."""
        return self.pixels[None].float() / 255

    def _draw_cell(self, cell: Judged) -> None:
        columns = self.grid.columns
        column = columns.index((cell.setting.strength, cell.setting.blocks))
        drawn = layer([place(FRAME, FRAME, _cell(cell, self.by, cell is self.chosen))], SIDE + 2 * FRAME,
                      SIDE + 44 + FRAME)
        self._draw(ROW + column * WIDE - FRAME, HEAD + cell.setting.lora * HIGH - FRAME, drawn)

    def _draw(self, x: int, y: int, scene: Node) -> None:
        """Puts a scene over what is there."""
        drawn = (render(scene, LIGHT.paper)[0] * 255).round().byte()
        there = self.pixels[y:y + drawn.shape[0], x:x + drawn.shape[1]]
        there.copy_(drawn[:there.shape[0], :there.shape[1]])


def _head(strength: float, blocks: str) -> Node:
    return layer([place(0, 0, text(f"strength {strength:g}", SIZE, LIGHT.ink)),
                  place(0, 20, fitted(blocks or "every block", SIZE, LIGHT.muted, SIDE))], SIDE, HEAD - FRAME - 4)


def _name(name: str) -> Node:
    return layer([fitted(name.removesuffix(".safetensors"), SIZE, LIGHT.ink, ROW - 24)], ROW - 24, 2 * SIZE)


def _cell(cell: Judged, by: Judge, chosen: bool) -> Node:
    picture = image(cell.small.float() / 255)
    colour = LIGHT.loss if cell.spoiled else LIGHT.gain if chosen and not cell.nothing else None
    frame = [place(-FRAME, -FRAME, rect(picture.w + 2 * FRAME, picture.h + 2 * FRAME, colour))] if colour else []
    near = "" if cell.likeness is None else f", likeness {cell.likeness:.1f}"
    words = [place(0, picture.h + 6, fitted(f"{cell.score:.1f}{near}", SIZE, LIGHT.ink, SIDE))]
    if below := "nothing is applied" if cell.nothing else cell.spoiled and f"spoiled: {cell.spoiled}":
        words.append(place(0, picture.h + 22, fitted(below, SIZE, LIGHT.loss, SIDE)))
    return layer([*frame, place(0, 0, picture), *words], SIDE, SIDE + 44)
