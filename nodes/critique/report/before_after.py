"""What to try as a picture: the picture before, and after each edit that was found."""
from collections.abc import Sequence

from torch import Tensor

from ...charts.chart_types.contact_sheet import Cell, sheet, thumbnail
from ...charts.drawing.draw import render
from ...charts.drawing.theme import LIGHT
from ..explain.counterfactuals import Counterfactual, apply, edit_of
from ..picture.planes import Picture


def before_after(picture: Picture, changes: Sequence[Counterfactual] | None) -> Tensor | None:
    """IMAGE [1, h, w, 3] with the picture and a copy for each edit, small; None where there is nothing to try."""
    if not changes:
        return None
    cells = [_cell(picture, "before", "")]
    for found in changes:
        changed = apply(picture, edit_of(found), found.amount)
        cells.append(_cell(changed, found.edit, f"{found.criterion} {found.points[0]:.0f} to {found.points[1]:.0f}"))
    return render(sheet(cells, LIGHT, together=len(cells)), LIGHT.paper)


def _cell(picture: Picture, title: str, effect: str) -> Cell:
    return Cell(thumbnail(picture.rgb.movedim(1, -1).float() / 255), (title, effect))
