"""One picture to one row of the table: the same function for every engine, and the same numbers as Art Critique's."""
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ...shared.picture_file import read_picture
from ..measures import FILTERED, MEASURES, filter_bank, measure, pictorial_depth
from ..picture.planes import CANONICAL, Picture
from ..reference.distributions import LEARNED, OWN_SIDE, Reference, paintings
from ..rubric.criteria import Rubric
from ..rubric.rubric_language import parse
from ..score.judge import check_measured, judge, told
from .entries import Entry

ALL, COLOUR_AND_VALUE = "all", "colour and value"
KINDS = (ALL, COLOUR_AND_VALUE)
QUICK = ("RMS contrast", "Luminance entropy", "Color entropy", "Colorfulness", "Mean warmth", "Warm-cold contrast")
CRITERION = "criterion "    # before a criterion's name in the table, where measures have theirs alone


class Settings(NamedTuple):
    """What is measured and how it is judged; plain values, as other processes are sent them.

    measures: of KINDS; filters: folders that may hold the user's own filter file."""
    measures: str = ALL
    rubric: str = ""
    reference: dict | None = None
    filters: Sequence[str] = ()


def plain(reference: Reference | None) -> dict | None:
    """A reference as plain values; floats go through JSON unchanged. A learned scorer stays behind."""
    return reference and {**reference._replace(scorer=None)._asdict(), "estimated": list(reference.estimated)}


def check_tabled(rubric: Rubric) -> None:
    """Raises ValueError with one sentence where a rubric counts what no table holds."""
    if any(LEARNED in criterion.columns and criterion.weight > 0 for criterion in rubric.criteria):
        raise ValueError("rubric: a table holds no learned score; leave `learned` out here, or give the pictures "
                         "themselves to Rank Images")


class Measurer:
    """Measures pictures with one thread. Raises ValueError where the rubric cannot be read or cannot be met."""

    def __init__(self, settings: Settings):
        fields = settings.reference
        self.reference = Reference(**{**fields, "estimated": tuple(fields["estimated"])}) if fields else paintings()
        self.rubric, self.bank = parse(settings.rubric), filter_bank.find(list(settings.filters))
        self.quick = settings.measures == COLOUR_AND_VALUE
        self.wanted = [name for name in MEASURES if name in QUICK or name.startswith(("mean ", "std "))] if (
            self.quick) else None
        if not self.quick:
            check_tabled(self.rubric)
            check_measured(self.reference, self.rubric, self._measured)

    @property
    def columns(self) -> list[str]:
        """The names of all numbers of a row, in the order of the table."""
        criteria = [CRITERION + criterion.name for criterion in self.rubric.criteria]
        return ["score", *criteria, OWN_SIDE, *self._measured]

    @property
    def _measured(self) -> list[str]:
        return self.wanted or self._all

    @property
    def _all(self) -> list[str]:
        return [*MEASURES, *pictorial_depth.BY_HEIGHT, *(FILTERED if self.bank else ())]

    def row(self, entry: Entry) -> dict:
        """What the table holds of a picture. A picture that cannot be measured has a sentence in `error`."""
        head = {"path": entry.path, "size": entry.size, "mtime_ns": entry.mtime_ns, "error": ""}
        try:
            with torch.inference_mode():
                return {**head, **self.numbers(pixels_of(entry))}
        except Exception as error:  # whatever a file of a million can make a decoder raise: a row and no end of the run
            said = f"{'' if isinstance(error, ValueError) else type(error).__name__ + ': '}{error}".splitlines()
            return {**head, "error": (said[0] if said else type(error).__name__)[:300]}

    def numbers(self, pixels: np.ndarray) -> dict[str, float]:
        """uint8 [H, W, 3] -> its score, criteria and measures by the names of `columns`."""
        own = Picture.from_pixels(pixels)
        picture = own.at_longer_side(CANONICAL)
        found = {name: value.item() for name, value in measure(picture, self.bank, self.wanted).items()}
        if not self.quick:
            found |= pictorial_depth.measure(picture)
        found[OWN_SIDE] = float(max(own.size))
        return {**(self._known_points(found) if self.quick else self._judged(found)), **found}

    def _judged(self, found: dict[str, float]) -> dict[str, float]:
        critique = judge(found, self.reference, self.rubric, total=False)
        numbers = {verdict.criterion.name: verdict.points for verdict in critique.verdicts}
        numbers |= {place.criterion.name: place.place for place in critique.positions}
        return {"score": float("nan") if critique.positions_only else critique.score,
                **{CRITERION + name: number for name, number in numbers.items() if number is not None}}

    def _known_points(self, found: dict[str, float]) -> dict[str, float]:
        """Of measures of colour and value alone there is no score, and of criteria only those that need no others."""
        known = told(found, self.reference, self.rubric, self._all)
        return {CRITERION + name: number for name, number in known.items()}


def pixels_of(entry: Entry) -> np.ndarray:
    """uint8 [H, W, 3] of a picture, read as the nodes read picture files. Raises ValueError for what is none."""
    return np.array(read_picture(_opened(entry)).image.convert("RGB"))


def _opened(entry: Entry) -> Path | io.BytesIO:
    if "://" in entry.place:
        from pyarrow import fs
        system, path = fs.FileSystem.from_uri(entry.place)
        with system.open_input_file(path) as file:
            return io.BytesIO(file.read())
    if entry.start is None:
        return Path(entry.place)
    with open(entry.place, "rb") as file:
        file.seek(entry.start)
        return io.BytesIO(file.read(entry.size))
