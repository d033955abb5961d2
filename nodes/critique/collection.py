"""A reference measured from pictures: a batch, the files of a folder, or both, one picture in memory at a time."""
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from . import space
from .measures import FILTERED, MEASURES, filter_bank, measure
from .picture import CANONICAL, Picture
from .reference import SCORED, Reference, fit, paintings, target
from .score import judge
from .words import called, digits

NAMED = 5  # broken files in an error
YEAR = re.compile(r"(?<![0-9A-Za-z])(?:1[2-9]|20)\d\d(?![0-9A-Za-z])")  # 1872 and not 1280x720
UNREADABLE = ("stop", "skip")
EXTENSIONS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


class Collection(NamedTuple):
    """What came of measuring pictures: the reference, a sentence for each file that could not be measured, and of each
    that could its file, the year in its name, its score among the paintings and its measures.
    """
    reference: Reference
    broken: list[str]
    pictures: list[dict]


def resolve(folder: str, input_directory: str) -> Path:
    """The folder a person typed: below the host's input directory, or anywhere where the path is absolute.

    Raises ValueError with one sentence where it is no folder, or leads out of the input directory by `..`.
    """
    typed = Path(folder.strip()).expanduser()
    root = Path(input_directory).resolve()
    path = typed.resolve() if typed.is_absolute() else (root / typed).resolve()
    if not typed.is_absolute() and not path.is_relative_to(root):
        raise ValueError(f"folder: expected a folder below ComfyUI's input directory or an absolute path, got {folder}")
    if not path.is_dir():
        where = "an absolute path" if typed.is_absolute() else "a folder below ComfyUI's input directory"
        raise ValueError(f"folder: expected {where} that exists, got {folder}")
    return path


def files(folder: Path) -> list[Path]:
    """The pictures in a folder and below it, by name. Raises ValueError with one sentence where there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    if not found:
        raise ValueError(f"folder: expected pictures ({', '.join(sorted(EXTENSIONS))}), got none in {folder.name}")
    return found


def fingerprint(folder: Path) -> str:
    """Changes when a picture in the folder does: names, sizes and times of change."""
    return repr([(str(path), (status := os.stat(path)).st_size, status.st_mtime_ns) for path in files(folder)])


def load(path: Path) -> Tensor:
    """A picture file as IMAGE [1, H, W, 3], turned as its camera says; 16-bit grey is brought to 8 bits."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):
            image = image.point(lambda level: level * (1 / 256)).convert("L")
        return torch.from_numpy(np.array(image.convert("RGB")))[None].float() / 255


def collect(images: Tensor | None, paths: list[Path], name: str, done: Callable[[], None],
            unreadable: str = "stop") -> Collection:
    """Measures IMAGE `images` and the files `paths` at 1024 pixels; calls `done` after each.

    Raises ValueError with one sentence where not one picture could be measured, and, unless `unreadable` is "skip",
    where one could not: before anything is measured if that can be told from the heads of the files.
    """
    bank, rows, broken, named = filter_bank.find(filter_bank.folders()), [], [], []
    columns = [*MEASURES, *space.BY_HEIGHT, *(FILTERED if bank else ())]
    if unreadable != "skip":
        _refuse([sentence for path in paths if (sentence := _trouble(path.name, lambda path=path: _head(path)))])
    for label, picture in _each(images, paths):
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
                      [_described(label, dict(zip(columns, row, strict=True)))
                       for label, row in zip(named, rows, strict=True)])


def _described(label: str, measures: dict[str, float]) -> dict:
    year = YEAR.search(Path(label).stem)
    return {"file": label, "year": int(year[0]) if year else None, "score": judge(measures, paintings()).score,
            **measures}


def _each(images: Tensor | None, paths: list[Path]) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    for number in range(0 if images is None else len(images)):
        yield f"picture {number + 1} of images", lambda n=number: images[n:n + 1]
    for path in paths:
        yield path.name, lambda file=path: load(file)


def _head(path: Path) -> None:
    with Image.open(path):
        pass


def _trouble(label: str, function: Callable[[], object]) -> str:
    """What keeps a picture from being read or measured, as a sentence with its name; empty where nothing does."""
    try:
        function()
    except UnidentifiedImageError:
        return f"{label}: no picture that can be read"
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        return f"{label}: {error}"
    return ""


def _refuse(broken: list[str]) -> None:
    if broken:
        more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        raise ValueError(f"folder: expected pictures that can be measured, got {'; '.join(broken[:NAMED])}{more}. "
                         "Choose skip at unreadable to leave such pictures out.")


def _row(image: Tensor, bank) -> list[float]:
    picture = Picture.from_images(image.cpu()).at_longer_side(CANONICAL)
    measured, by_height = measure(picture, bank), space.measure(picture)
    filtered = [measured.pop(column).item() for column in FILTERED if column in measured]
    return [*(value.item() for value in measured.values()), *(by_height[name] for name in space.BY_HEIGHT), *filtered]


def report(collection: Collection) -> str:
    """What was measured, in Markdown: how many, how sure, what could not be read, and what is particular."""
    reference, broken, _ = collection
    lines = [f"**{reference.name}**: {reference.count} measured, every percentile ±{reference.band:.1f} points."]
    if reference.warning:
        lines.append(f"Careful: {reference.warning}")
    if broken:
        lines.append(f"{len(broken)} could not be measured and are left out:\n\n"
                     + "\n".join(f"* {sentence}" for sentence in broken))
    return "\n\n".join([*lines, particular(reference)])


def particular(reference: Reference) -> str:
    """The five columns of the total that lie furthest from the middle of the paintings."""
    tradition = paintings()
    places = {column: target(reference, column, tradition) for column in SCORED}
    furthest = sorted(SCORED, key=lambda column: -abs(places[column][0] - 50))[:5]
    rows = [f"| {called(column)} | {digits(reference.quantiles[column][50])} | {places[column][0]:.0f} ± "
            f"{places[column][1]:.0f} |" for column in furthest]
    return "\n".join(["Where they differ most from the paintings:", "",
                      "| measure | median | percentile in the paintings |", "|---|---:|---:|", *rows])
