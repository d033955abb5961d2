"""From the versions of one picture to everything that is said of them."""
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from ..examination import learned_measure, measure_picture
from ..picture.planes import Picture, check
from ..reference.distributions import OWN_SIDE, Reference
from ..rubric.criteria import Rubric
from ..rubric.default_rubric import default
from ..score.judge import Critique, judge
from . import light_and_colour
from .light_and_colour import Reading
from .same_picture import different_picture, unknown_kind

BASE, NO_DIFFERENCE, SPOILED, UNDECIDED = "least spoiled", "no difference", "spoiled", "undecided"


class Version(NamedTuple):
    """One version: its pixels at 1024, its size, its measures, its critique by the rubric and its eight measures.

    `typicality` is the score of the default rubric, 0..100, by which Art Critique places it among the paintings."""
    picture: Picture
    size: tuple[int, int]
    critique: Critique
    typicality: float
    light: Reading


class Comparison(NamedTuple):
    """The versions in the order they came; `order` are their places, the least spoiled first.

    Versions that do not differ from the best keep the order they came in. `refused` is why light and colour were not
    read, "" where they were; where they were not all keep it. `reference` are the pictures that they were placed
    among."""
    versions: list[Version]
    order: list[int]
    refused: str
    reference: Reference

    @property
    def best(self) -> Version:
        return self.versions[self.order[0]]

    def finding(self, version: Version) -> str:
        """What light and colour say of a version beside the least spoiled one."""
        if version is self.best:
            return BASE
        if self.best.light.total - version.light.total < light_and_colour.least():
            return NO_DIFFERENCE
        return UNDECIDED if version.typicality > self.best.typicality else SPOILED


def each_picture(images: Sequence[Tensor]) -> list[Tensor]:
    """IMAGEs, batches or single ones of any size -> one IMAGE [1, H, W, C] a version.

    Raises ValueError with one sentence where there are no two of them."""
    found = [image for batch in images for image in batch.split(1)]
    if len(found) < 2:
        raise ValueError(f"images: expected two or more versions of one picture, a batch or a list, got {len(found)}")
    return found


def compare(pictures: Sequence[Tensor], reference: Reference, rubric: Rubric | None = None,
            step: Callable[[], None] = lambda: None) -> Comparison:
    """Measures every version [1, H, W, C] and holds them against each other; `step` is called after each.

    Raises ValueError with one sentence where one cannot be measured."""
    found = []
    for number, image in enumerate(pictures, 1):
        found.append(_measured(number, image, reference, rubric))
        step()
    side = min(measures[OWN_SIDE] for _, _, measures in found)  # of all: what a small copy is not judged by, none is
    versions = [_judged(own, canonical, {**measures, OWN_SIDE: side}, reference, rubric)
                for own, canonical, measures in found]
    sizes, measures = ([each.size for each in versions], [each.critique.measures for each in versions])
    refused = (different_picture(sizes, measures)
               or unknown_kind([each.picture for each in versions], [each.light for each in versions]))
    places = list(range(len(versions)))
    order = places if refused else least_spoiled_first([each.light for each in versions])
    return Comparison(versions, order, refused, reference)


def least_spoiled_first(readings: Sequence[Reading]) -> list[int]:
    """Places from the best reading down; those that do not differ from the best come first, in the order they came."""
    best = max(reading.total for reading in readings)
    def key(place):
        behind = best - readings[place].total
        return behind if behind >= light_and_colour.least() else 0.0

    return sorted(range(len(readings)), key=key)


def _measured(number: int, image: Tensor, reference: Reference,
              rubric: Rubric | None) -> tuple[Picture, Picture, dict[str, float]]:
    """A version at its own size and at 1024 pixels, and what is measured there."""
    try:
        check(image)
    except ValueError as error:
        raise ValueError(f"version {number}: {error}") from None
    own = Picture.from_images(image.cpu())
    canonical, measures = measure_picture(own)
    return own, canonical, measures | learned_measure(image, reference, rubric or default())


def _judged(own: Picture, canonical: Picture, measures: dict[str, float], reference: Reference,
            rubric: Rubric | None) -> Version:
    plain = judge(measures, reference, default())
    critique = judge(measures, reference, rubric, total=False) if rubric else plain
    return Version(canonical, own.size, critique, plain.score, light_and_colour.measured(own, measures))
