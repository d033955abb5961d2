"""Smooth fields and clean edges, or texture: what tells a graphic, its ground graded or flat, from a photograph.

A drawn field is a plane of grey but for rounding; a photograph or a painting leaves grain or strokes nearly everywhere,
and where a sky or a blur is smooth, leaves, walls or faces stand beside it. In a graphic what is not smooth is a line.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 8  # pixels
SMOOTH, ROUGH = 0.6, 2.0  # levels of 255 by which a cell differs from a plane: rounding (0.3) and dither, and no plane
BLOCK = 3  # cells: as wide is texture; an edge is narrower


def smooth_share(picture) -> Tensor:
    """The share of the cells of 8 x 8 pixels in which grey is flat or evenly graded, 0 .. 1. Our own."""
    return _share(picture.once(off_plane) < SMOOTH, picture)


def texture_share(picture) -> Tensor:
    """The share of the cells that lie in a block of 3 x 3 of which none is flat or evenly graded, 0 .. 1. Our own."""
    return _share(picture.once(textured), picture)


def edge_share(picture) -> Tensor:
    """The share of the cells that are neither flat nor evenly graded nor in such a block, 0 .. 1. Our own."""
    return _share((picture.once(off_plane) > ROUGH) & ~picture.once(textured), picture)


def textured(picture) -> Tensor:
    """Which cells lie in a block of BLOCK x BLOCK rough ones: bool [B, h, w]."""
    rough = picture.once(off_plane) > ROUGH
    if min(rough.shape[1:]) < BLOCK:
        return torch.zeros_like(rough)
    whole = 1 - F.max_pool2d((~rough)[:, None].float(), BLOCK, 1)
    return F.max_pool2d(F.pad(whole, (BLOCK - 1,) * 4), BLOCK, 1)[:, 0] > 0


def off_plane(picture) -> Tensor:
    """How far each cell of grey differs from the plane fitted to it: root mean square in levels of 255, [B, h, w]."""
    rows, columns = (side // CELL for side in picture.grey.shape[1:])
    cells = picture.grey[:, :rows * CELL, :columns * CELL].view(-1, rows, CELL, columns, CELL).to(picture.dtype)
    cells = cells - cells.mean((2, 4), keepdim=True)
    place = torch.arange(CELL, dtype=cells.dtype, device=cells.device) - (CELL - 1) / 2
    down, right = (torch.einsum(term, cells, place) / CELL ** 2 for term in ("bhiwj,i->bhw", "bhiwj,j->bhw"))
    sloped = (down ** 2 + right ** 2) / (place ** 2).mean()
    return ((cells ** 2).mean((2, 4)) - sloped).clamp(min=0).sqrt()


def _share(cells: Tensor, picture) -> Tensor:
    return cells.to(picture.dtype).mean((1, 2))
