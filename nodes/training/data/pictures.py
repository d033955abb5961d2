"""Pictures on their way to the VAE: opened upright, brought to a size, with a mask of the same cut."""
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from .buckets import Size, nearest


class Cut(NamedTuple):
    """pixels [1, H, W, 3] and mask [1, 1, H, W] or None, 0..1; size: the original's; scale: of the enlargement."""
    pixels: torch.Tensor
    mask: torch.Tensor | None
    size: Size
    scale: float


def open_picture(path: Path) -> Image.Image:
    """A picture of a file, turned as its camera says. Raises ValueError that names an unreadable file."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGBA" if _has_alpha(image) else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"folder: {path.name} cannot be read as a picture ({error}).") from None


def from_tensor(image: torch.Tensor) -> Image.Image:
    """IMAGE [1, H, W, C] or [H, W, C], 0..1 -> a picture."""
    pixels = (image.reshape(image.shape[-3:]).clamp(0, 1) * 255).round().byte().cpu().numpy()
    if pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, -1)
    return Image.fromarray(pixels)


def alpha_mask(image: Image.Image) -> Image.Image | None:
    """The opacity of a picture as a mask, None where all of it is opaque."""
    if image.mode != "RGBA":
        return None
    alpha = image.getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def cut(image: Image.Image, mask: Image.Image | None, sizes: list[Size], name: str) -> Cut:
    """Enlarges or reduces to cover the nearest size and cuts the middle out of it.

    Raises ValueError for a mask of another size than its picture."""
    if mask is not None and mask.size != image.size:
        raise ValueError("masks: expected a mask of {} x {} pixels for {}, got {} x {}.".format(
            *image.size, name, *mask.size))
    size = nearest(sizes, *image.size)
    scale = max(size.width / image.width, size.height / image.height)
    pixels = torch.from_numpy(np.asarray(_fit(image.convert("RGB"), size), np.float32) / 255)[None]
    shown = None if mask is None else torch.from_numpy(np.asarray(_fit(mask.convert("L"), size), np.float32) / 255)
    return Cut(pixels, None if shown is None else shown[None, None], Size(*image.size), scale)


def _fit(image: Image.Image, size: Size) -> Image.Image:
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
