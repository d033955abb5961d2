"""Where in the picture a criterion comes from: a plane that sums to its measure, or what hiding each place changes."""
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...charts.drawing.theme import ramp
from ..measures import MEASURES
from ..measures.densities import DENSITIES, LACKS, mapped
from ..picture import resample
from ..picture.planes import Picture
from ..rubric.criteria import Criterion

EXACT = {**DENSITIES, **LACKS}
"""Maps without hiding anything: what each place adds to a measure, or takes from the 1 of a likeness."""

CELLS = 64  # along the longer side: single pixels would show texture, not places
HIDDEN_CELLS = 8  # along the longer side, for maps by occlusion
GROUND = 256  # the longer side of the picture that the page lays them over
TILE_FROM = 512  # the longer side that the tiles of the page are computed at: what they lose is far below a cell


class HeatMap(NamedTuple):
    """What each place adds to the measure `column`: float [h, w], of the picture's shape but not always its size.

    `exact` planes sum to the measure, or to what a likeness lacks of 1; the others hold, for each cell of a coarse
    grid, how far the measure falls when the cell is flattened to its own mean colour.
    """
    column: str
    plane: Tensor
    exact: bool

    @property
    def drawn(self) -> Tensor:
        """What a drawing shows: what adds to a sum, or how much hiding a place changes, either way."""
        return self.plane.clamp(min=0) if self.exact else self.plane.abs()


def ends(column: str) -> tuple[str, str]:
    """What dark and bright mean in the heat map of a column."""
    if column in LACKS:
        return "alike", "differs most"
    verb = "adds" if column in EXACT else "hiding it changes"
    return f"{verb} nothing", f"{verb} most"


def heat_map(picture: Picture, criterion: Criterion, cells: int = HIDDEN_CELLS,
             step: Callable[[], None] = lambda: None, told: str | None = None) -> HeatMap:
    """The heat map of a criterion of one picture: of the column that words name, `told`, where that is a sum over
    places, else of its first column that is.

    Where none is, the first one is mapped by occlusion, which measures the picture again for every cell: seconds for
    most, half a minute for 2nd-order EOE. `step` is called after each of them. Raises ValueError where nothing of the
    criterion can be mapped.
    """
    column = told if told in EXACT else mapped(criterion.name, criterion.columns)
    if column in EXACT:
        return exact(picture, column)
    return HeatMap(column, occlusion(picture, MEASURES[column], cells, step), False)


def exact(picture: Picture, column: str) -> HeatMap:
    """The map of a column that is a sum over places."""
    return HeatMap(column, EXACT[column](picture)[0], True)


def occlusion(picture: Picture, function: Callable[[Picture], Tensor], cells: int = HIDDEN_CELLS,
              step: Callable[[], None] = lambda: None) -> Tensor:
    """How far `function` falls when a cell of the grid is flattened to its mean colour: float64 [rows, columns]."""
    width, height = picture.size
    rows, columns = _grid(height, width, cells)
    flat = flattened(picture.rgb, rows, columns)
    whole, plane = function(picture)[0], torch.zeros(rows, columns, dtype=torch.float64)
    for row in range(rows):
        for column in range(columns):
            y, x = _span(row, rows, height), _span(column, columns, width)
            hidden = picture.rgb.clone()
            hidden[..., y, x] = flat[..., y, x]
            plane[row, column] = whole - function(Picture(hidden, picture.dtype))[0]
            step()
    return plane


def flattened(rgb: Tensor, rows: int, columns: int) -> Tensor:
    """uint8 [B, 3, H, W] with every cell of a rows x columns grid at its own mean colour."""
    height, width = rgb.shape[2:]
    flat = rgb.clone()
    for row in range(rows):
        for column in range(columns):
            y, x = _span(row, rows, height), _span(column, columns, width)
            flat[..., y, x] = rgb[..., y, x].float().mean((2, 3), keepdim=True).round().to(torch.uint8)
    return flat


def heat(plane: Tensor, height: int, width: int) -> Tensor:
    """Plane [h, w] -> [height, width], 0..1: its mean over cells, the largest cell at 1, what is negative at 0."""
    full = F.interpolate(_cells(plane, height, width), size=(height, width), mode="bicubic")[0, 0].clamp(min=0)
    largest = full.max()
    return full / largest if largest > 0 else full


def dimmed(grey: Tensor) -> Tensor:
    """uint8 -> 0..1, with less contrast: what heat is laid over."""
    return grey.float() / 255 * 0.7 + 0.1


def ground(picture: Picture) -> np.ndarray:
    """The picture in grey for the page, which lays the tiles over it: uint8 [h, w, 3]."""
    small = resample.longer_side(picture.grey[:, None], GROUND)[0, 0]
    return (dimmed(small) * 255).round().to(torch.uint8)[..., None].expand(-1, -1, 3).numpy()


def tiles(picture: Picture, criteria: Sequence[Criterion], known: Mapping[str, HeatMap] = {},
          told: Mapping[str, str] = {}) -> tuple[np.ndarray, dict[str, tuple[int, str]]]:
    """The heat maps of all criteria below one another, for a page that lays one over the picture.

    They are the exact ones, and those that are `known` by the id of their criterion. told: the column that words name,
    by the same id, which is then the one that is shown where it has places. Returns RGBA uint8 [N * h, w, 4], at most
    64 cells along a tile's longer side, as opaque as there is heat; and criterion id -> (number of its tile, column it
    shows).
    """
    small = picture.at_longer_side(min(TILE_FROM, max(picture.size)))
    if small is not picture:
        small.edges, small.edge_points = picture.edges, picture.edge_points  # found at 120,000 pixels whatever the size
    width, height = picture.size
    rows, columns = _grid(height, width, CELLS)
    drawn, found = [], {}
    for criterion in criteria:
        named = [told[criterion.id]] if criterion.id in told else []
        column = next((name for name in (*named, *criterion.columns) if name in EXACT), None)
        shown = known.get(criterion.id) or (exact(small, column) if column else None)
        if shown:
            found[criterion.id] = (len(drawn), shown.column)
            plane = F.adaptive_avg_pool2d(_cells(shown.drawn, height, width), (rows, columns))[0, 0]
            plane = plane / plane.max().clamp(min=torch.finfo(plane.dtype).tiny)
            drawn.append(torch.cat((ramp(plane), plane[..., None] ** 0.7 * 0.85), 2))
    pixels = torch.cat(drawn) if drawn else torch.zeros(1, 1, 4)
    return (pixels * 255).round().to(torch.uint8).numpy(), found


def _cells(plane: Tensor, height: int, width: int) -> Tensor:
    """[h, w] -> float32 [1, 1, rows, columns]: means over cells of the picture; a plane that is coarser stays."""
    rows, columns = _grid(height, width, CELLS)
    plane = plane[None, None].float()
    return F.adaptive_avg_pool2d(plane, (min(rows, plane.shape[2]), min(columns, plane.shape[3])))


def _grid(height: int, width: int, cells: int) -> tuple[int, int]:
    longer = max(height, width)
    return tuple(max(1, round(cells * side / longer)) for side in (height, width))


def _span(index: int, number: int, length: int) -> slice:
    return slice(index * length // number, (index + 1) * length // number)
