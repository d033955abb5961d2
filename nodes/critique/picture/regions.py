"""The part of a picture that a mask asks for."""
from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor


def regions(images: Tensor, mask: Tensor | None) -> Iterator[tuple[Tensor, tuple[int, int, int, int] | None]]:
    """IMAGE [B, H, W, C] -> one IMAGE [1, h, w, C] a picture, cut to its mask, and (left, top, right, bottom) or None.

    The region is the smallest rectangle around all that is at least half white in MASK [B or 1, H, W], which is
    stretched to the picture where their sizes differ. Raises ValueError with one sentence where it cannot be.
    """
    if mask is None:
        yield from ((image, None) for image in images.split(1))
        return
    if mask.ndim not in (2, 3):
        raise ValueError(f"mask: expected [pictures, height, width], got {list(mask.shape)}")
    mask = mask if mask.ndim == 3 else mask[None]
    if not mask.numel():
        raise ValueError(f"mask: expected some pixels, got {list(mask.shape)}")
    if not mask.isfinite().all():
        raise ValueError("mask: expected numbers from 0 to 1, got NaN or infinity")
    if mask.max() > 1 + 1e-3:
        raise ValueError(f"mask: expected numbers from 0 (black) to 1 (white), got up to {mask.max().item():.4g}")
    if len(mask) not in (1, len(images)):
        raise ValueError(f"mask: expected one, or one for each of the {len(images)} pictures, got {len(mask)}")
    mask = F.interpolate(mask[:, None].float(), size=tuple(images.shape[1:3]), mode="nearest-exact")[:, 0] >= 0.5
    for image, plane in zip(images.split(1), mask.expand(len(images), -1, -1), strict=True):
        box = _box(plane)
        left, top, right, bottom = box
        yield image[:, top:bottom, left:right], box


def _box(plane: Tensor) -> tuple[int, int, int, int]:
    rows, columns = plane.any(1).nonzero()[:, 0], plane.any(0).nonzero()[:, 0]
    if not len(rows):
        raise ValueError("mask: expected some white, which marks the part to judge, got an all-black mask")
    return columns[0].item(), rows[0].item(), columns[-1].item() + 1, rows[-1].item() + 1
