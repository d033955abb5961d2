"""What the page draws on the node: score, criteria, reasons, and a strip of small heat maps beside them."""
import json
from collections.abc import Sequence

from ..explain.counterfactuals import in_short
from ..explain.heat_maps import ends
from ..explain.phrases import called
from ..explain.reasons import reasons
from .critique_report import CriticisedPicture, total


def payload(pictures: Sequence[CriticisedPicture], grounds: Sequence[dict], strips: Sequence[dict],
            tiles: Sequence[dict[str, tuple[int, str]]]) -> str:
    """JSON, one entry a picture; score and band are null where there are positions only.

    `ground` names the file (filename, subfolder, type) of the picture in grey, `heat` that of the strip and how many
    tiles it holds; a criterion with a heat map has the number of its tile, counted from the top, the column that it
    shows, how a reader calls that, and what dark and bright mean there. `tries` are edits that were done and measured,
    in words.
    """
    return json.dumps([_entry(*each) for each in zip(pictures, grounds, strips, tiles, strict=True)])


def _entry(picture: CriticisedPicture, ground: dict, strip: dict, tiles: dict[str, tuple[int, str]]) -> dict:
    entry = brief(picture)
    for criterion in [*entry["criteria"], *entry["positions"]]:
        tile, column = tiles.get(criterion["id"], (None, None))
        criterion.update(tile=tile, column=column, measure=column and called(column), ends=column and ends(column))
    tries = [in_short(change) for change in picture.changes or ()]
    return {**entry, "tries": tries, "size": list(picture.size), "ground": ground,
            "heat": {**strip, "tiles": len(tiles)}}


def brief(picture: CriticisedPicture) -> dict:
    """The critique of a picture in short: what its PNG file and the node on the page carry."""
    critique = picture.critique
    criteria = [{"id": v.criterion.id, "name": v.criterion.name, "points": v.points, "position": v.position,
                 "typicality": v.typicality, "weight": v.weight, "contribution": v.contribution}
                for v in critique.verdicts]
    positions = [{"id": p.criterion.id, "name": p.criterion.name, "place": p.place, "low": p.criterion.low,
                  "high": p.criterion.high} for p in critique.positions]
    return {**total(critique), "rubric": critique.rubric.title, "criteria": criteria, "positions": positions,
            "reasons": reasons(critique)}
