"""The format of the picture."""
from torch import Tensor


def sides(picture) -> Tensor:
    """Width plus height in pixels, as the toolbox reports the size of a picture."""
    return picture.rgb.new_full((len(picture.rgb),), sum(picture.size), dtype=picture.dtype)


def aspect_ratio(picture) -> Tensor:
    """Width / height; 1.618 is the golden section lying, 0.618 standing."""
    width, height = picture.size
    return picture.rgb.new_full((len(picture.rgb),), width / height, dtype=picture.dtype)
