"""Whether a version looks spoiled beside the one it was made from: a veto, never a ranking of those that pass."""
from functools import cached_property

from torch import Tensor

from ..examination import measured
from ..picture.planes import Picture
from . import light_and_colour
from .same_picture import EDGES, different_picture, unknown_kind


class Base:
    """IMAGE [1, H, W, C] that candidates are held against; what is measured in it is measured once."""

    def __init__(self, image: Tensor):
        self.image = image.cpu()

    @cached_property
    def reading(self) -> light_and_colour.Reading:
        return light_and_colour.measured(Picture.from_images(self.image))

    @cached_property
    def edges(self) -> dict[str, float]:
        return measured(self.image, set(EDGES))

    def why_spoiled(self, candidate: Tensor) -> str:
        """What a candidate, an IMAGE [1, H, W, C] of the same picture, suffers from in light and colour, or "".

        Nothing is said of kinds of picture that the curves do not know, of another picture, or below a chance of
        90 %."""
        other = Base(candidate)
        found = light_and_colour.spoiled(other.reading, self.reading)
        if not found:
            return ""
        pictures = [Picture.from_images(each.image) for each in (self, other)]
        if unknown_kind(pictures, [self.reading, other.reading]):
            return ""
        return "" if different_picture([picture.size for picture in pictures], [self.edges, other.edges]) else found


def why_spoiled(candidate: Tensor, base: Tensor) -> str:
    """`Base.why_spoiled` of one candidate."""
    return Base(base).why_spoiled(candidate)
