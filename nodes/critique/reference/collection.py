"""A reference measured from pictures: a batch, the files of a folder, or both, one picture in memory at a time."""
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...shared.picture_file import Remark, check_picture, read_picture, sentences
from ...shared.picture_folder import CAPTIONS, Listing, why_left_out
from ..measures import FILTERED, MEASURES, filter_bank, measure, pictorial_depth
from ..picture.planes import CANONICAL, Picture
from .distributions import OWN_SIDE, SCORED, Reference, fit

NAMED = 5  # broken files in an error
UNREADABLE = ("stop", "skip")


class Collection(NamedTuple):
    """What came of measuring pictures: the reference, a sentence for each file that could not be measured, of each
    that could its name and its measures, and sentences about the folder and about how its files were read.
    """
    reference: Reference
    broken: list[str]
    pictures: list[tuple[str, dict[str, float]]]
    notes: list[str]


def load(path: Path) -> tuple[Tensor, tuple[Remark, ...]]:
    """A picture file as IMAGE [1, H, W, 3], and what was remarked when it was read."""
    made = read_picture(path)
    return torch.from_numpy(np.array(made.image.convert("RGB")))[None].float() / 255, made.remarks


def collect(images: Tensor | None, folder: Listing | None, name: str, done: Callable[[], None],
            unreadable: str = "stop") -> Collection:
    """Measures IMAGE `images` and the pictures of a folder at 1024 pixels; calls `done` after each.

    Raises ValueError with one sentence where not one picture could be measured, and, unless `unreadable` is "skip",
    where one could not: before anything is measured if that can be told from the heads of the files.
    """
    bank, rows, broken, named, remarks = filter_bank.find(filter_bank.folders()), [], [], [], []
    columns = [*MEASURES, *pictorial_depth.BY_HEIGHT, OWN_SIDE, *(FILTERED if bank else ())]
    if folder and unreadable != "skip":
        _refuse([sentence for path in folder.pictures
                 if (sentence := _trouble(folder.name(path), lambda path=path: check_picture(path)))])
    for label, picture in _each(images, folder, remarks):
        sentence = _trouble(label, lambda picture=picture: rows.append(_row(picture(), bank)))
        broken += [sentence] if sentence else []
        named += [] if sentence else [label]
        if unreadable != "skip":
            _refuse(broken)
        done()
    if not rows:
        raise ValueError(f"folder: expected at least one picture that can be measured, got {'; '.join(broken[:3])}")
    source = f"{len(rows)} pictures of {name}, measured by Bottega at a longer side of {CANONICAL} pixels"
    return Collection(fit(name, source, columns, torch.tensor(rows, dtype=torch.float64), SCORED), broken,
                      [(label, dict(zip(columns, row, strict=True)))
                       for label, row in zip(named, rows, strict=True)],
                      [*(_not_measured(folder) if folder else ()), *sentences(remarks)])


def _not_measured(folder: Listing) -> list[str]:
    """What lies in the folder and is no picture; captions are expected there."""
    return why_left_out(folder, [path for path in folder.others if path.suffix.lower() not in CAPTIONS])


def _each(images: Tensor | None, folder: Listing | None, remarks: list[tuple[str, Remark]]
          ) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    for number in range(0 if images is None else len(images)):
        yield f"picture {number + 1} of images", lambda n=number: images[n:n + 1]
    for path in folder.pictures if folder else ():
        yield folder.name(path), lambda path=path: _remarked(path, folder.name(path), remarks)


def _remarked(path: Path, label: str, remarks: list[tuple[str, Remark]]) -> Tensor:
    pixels, made = load(path)
    remarks += [(label, remark) for remark in made]
    return pixels


def _trouble(label: str, function: Callable[[], object]) -> str:
    """What keeps a picture from being read or measured, as a sentence with its name; empty where nothing does."""
    try:
        function()
    except ValueError as error:
        return f"{label}: {error}"
    return ""


def _refuse(broken: list[str]) -> None:
    if broken:
        more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        raise ValueError(f"folder: expected pictures that can be measured, got {'; '.join(broken[:NAMED])}{more}. "
                         "Choose skip at unreadable to leave such pictures out.")


def _row(image: Tensor, bank) -> list[float]:
    own = Picture.from_images(image.cpu())
    picture = own.at_longer_side(CANONICAL)
    measured, by_height = measure(picture, bank), pictorial_depth.measure(picture)
    filtered = [measured.pop(column).item() for column in FILTERED if column in measured]
    return [
        *(value.item() for value in measured.values()),
        *(by_height[name] for name in pictorial_depth.BY_HEIGHT),
        float(max(own.size)),
        *filtered,
    ]
