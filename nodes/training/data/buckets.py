"""Aspect-ratio buckets: sizes that pictures of any shape are brought to, so that those of one size can share a step
(Anlatan 2022), and the crop to such a size."""
import math
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

WIDEST = 3.0  # the longer side, in shorter sides


class Size(NamedTuple):
    width: int
    height: int


class Crop(NamedTuple):
    """pixels [1, H, W, 3] and mask [1, 1, H, W] or None, 0..1; size: the original's; scale: of the enlargement."""
    pixels: torch.Tensor
    mask: torch.Tensor | None
    size: Size
    scale: float

    @property
    def lost(self) -> float:
        """The share of the original, 0 to 1, that lies outside."""
        height, width = self.pixels.shape[1:3]
        return max(0.0, 1 - width * height / (self.scale ** 2 * self.size.width * self.size.height))


def pixel_step(vae) -> int:
    """Width and height of what one patch of a model sees of the picture: two latent pixels."""
    return 2 * int(vae.spacial_compression_encode())


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


def crop(image: Image.Image, mask: Image.Image | None, sizes: list[Size], name: str) -> Crop:
    """Enlarges or reduces to cover the nearest size and cuts the middle out of it.

    Raises ValueError for a mask of another size than its picture."""
    if mask is not None and mask.size != image.size:
        raise ValueError("masks: expected a mask of {} x {} pixels for {}, got {} x {}.".format(
            *image.size, name, *mask.size))
    size = nearest(sizes, *image.size)
    scale = max(size.width / image.width, size.height / image.height)
    pixels = torch.from_numpy(np.asarray(_fit(image.convert("RGB"), size), np.float32) / 255)[None]
    shown = None if mask is None else torch.from_numpy(np.asarray(_fit(mask.convert("L"), size), np.float32) / 255)
    return Crop(pixels, None if shown is None else shown[None, None], Size(*image.size), scale)


def _fit(image: Image.Image, size: Size) -> Image.Image:
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
