"""Sizes that pictures of any shape are brought to, so that those of one size can share a step (Anlatan 2022)."""
import math
from typing import NamedTuple

WIDEST = 3.0  # the longer side, in shorter sides


class Size(NamedTuple):
    width: int
    height: int


def bucket_sizes(resolution: int, step: int) -> list[Size]:
    """Every width x height in multiples of `step` pixels with about resolution² pixels, never more; the square first.

    Raises ValueError for a resolution below two steps."""
    if resolution < 2 * step:
        raise ValueError(f"resolution: expected at least {2 * step} pixels with this VAE, got {resolution}.")
    sizes = {Size(*_square(resolution, step))}
    for width in range(step, int(resolution * math.sqrt(WIDEST)) + 1, step):
        height = resolution * resolution // width // step * step
        if height >= step and max(width, height) <= WIDEST * min(width, height):
            sizes |= {Size(width, height), Size(height, width)}
    return sorted(sizes, key=lambda size: (abs(math.log(size.width / size.height)), size))


def _square(resolution, step):
    return resolution // step * step, resolution // step * step


def nearest(sizes: list[Size], width: int, height: int) -> Size:
    """The size whose shape is nearest to a picture's, and the largest of these."""
    shape = math.log(width / height)
    return min(sizes, key=lambda size: (round(abs(math.log(size.width / size.height) - shape), 6),
                                        -size.width * size.height))
