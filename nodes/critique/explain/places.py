"""Where in a picture most of a measure lies, in words."""
import torch
import torch.nn.functional as F

from ..measures.densities import DENSITIES
from ..picture.planes import Picture

ROWS, COLUMNS = ("above", "in the middle", "below"), ("on the left", "", "on the right")
SPREAD = 0.18  # of a ninth's share of the whole: with less in the fullest one it lies everywhere
AS_FULL = 0.75  # of the fullest ninth: with as much another is named beside it


def where(picture: Picture, column: str) -> str:
    """The ninth of the picture that holds most of what adds to the column: "above on the left"; the row or the side
    where others of it hold about as much: "above"; empty for a column that belongs to the picture as a whole, or that
    lies everywhere or in places without a common name."""
    if column not in DENSITIES:
        return ""
    plane = DENSITIES[column](picture)[:1].clamp(min=0)
    ninths = F.adaptive_avg_pool2d(plane[None], 3)[0, 0]
    if ninths.max() <= 0 or ninths.max() / ninths.sum() < SPREAD:
        return ""
    rows, columns = ({place.item() for place in places} for places in torch.nonzero(ninths >= AS_FULL * ninths.max()).T)
    return _named(rows, columns)


def _named(rows: set[int], columns: set[int]) -> str:
    if len(rows) == len(columns) == 1:
        return " ".join(part for part in (ROWS[min(rows)], COLUMNS[min(columns)]) if part)
    if len(rows) == 1:
        return (ROWS[0], "across the middle", ROWS[2])[min(rows)]
    return (COLUMNS[0], "down the middle", COLUMNS[2])[min(columns)] if len(columns) == 1 else ""
