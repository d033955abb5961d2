"""A picture and the planes that measures read, each computed once."""
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from . import edge_field, resample
from .palette import Palette, palette

CANONICAL = 1024  # the longer side at which the paintings of the published table were measured
SHORTEST_SIDE = 16
LONGEST_SHAPE = 16
BEYOND = 1.0  # what decoders and sharpeners leave outside of 0..1 is cut; more than this is another range
ROWS_AT_ONCE = 256


class Picture:
    """A batch of 8-bit sRGB pictures, uint8 [B, 3, H, W], and its planes in `dtype` on the same device."""

    def __init__(self, rgb: Tensor, dtype: torch.dtype = torch.float64):
        self.rgb, self.dtype = rgb, dtype
        self._shared = {}

    @classmethod
    def from_images(cls, images: Tensor, dtype: torch.dtype = torch.float64) -> "Picture":
        """IMAGE [B, H, W, C], 0..1, C = 1 (grey), 3 or 4 (alpha is left out, as Pillow's convert("RGB") does).

        Raises ValueError with one sentence where there is nothing to measure.
        """
        check(images)
        batch, height, width, _ = images.shape
        rgb = torch.empty(batch, 3, height, width, dtype=torch.uint8, device=images.device)
        for rows, strip in zip(rgb.split(ROWS_AT_ONCE, 2), images[..., :3].split(ROWS_AT_ONCE, 1), strict=True):
            rows.copy_(strip.clamp(0, 1).mul_(255).round_().movedim(-1, 1))
        return cls(rgb, dtype)

    @classmethod
    def from_pixels(cls, pixels: np.ndarray, dtype: torch.dtype = torch.float64) -> "Picture":
        """uint8 [H, W, 3], as a file holds them: the same picture as that of the IMAGE that the host makes of it.

        Raises ValueError with one sentence where it is too small or too narrow."""
        check_sides(*pixels.shape[:2])
        return cls(torch.from_numpy(pixels).movedim(-1, 0)[None].contiguous(), dtype)

    def at_longer_side(self, side: int) -> "Picture":
        """The picture with its longer side at `side` pixels (Lanczos); itself where that is its size."""
        rgb = resample.longer_side(self.rgb, side)
        return self if rgb is self.rgb else Picture(rgb, self.dtype)

    def once(self, plane: Callable, *more):
        """plane(self, *more), computed the first time only: for what several measures share."""
        key = plane, *more
        if key not in self._shared:
            self._shared[key] = plane(self, *more)
        return self._shared[key]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.rgb.shape[3], self.rgb.shape[2]

    @cached_property
    def palettes(self) -> list[Palette]:
        """The palette of each picture."""
        return [palette(rgb, self.dtype) for rgb in self.rgb]

    @cached_property
    def grey(self) -> Tensor:
        return torch.stack([own.plane(own.grey) for own in self.palettes])

    def grey_at(self, side: int) -> Tensor:
        """The grey plane with its longer side at `side` pixels (Lanczos), uint8 [B, h, w]."""
        return self.once(_small_grey, side)

    @cached_property
    def grey_counts(self) -> Tensor:
        """How many pixels have each level of grey, int64 [B, 256]."""
        return torch.stack([own.sums(own.grey.long(), 256) for own in self.palettes])

    @cached_property
    def lab(self) -> Tensor:
        return torch.stack([own.plane(own.lab) for own in self.palettes])

    @cached_property
    def hsv(self) -> Tensor:
        return torch.stack([own.plane(own.hsv) for own in self.palettes])

    @cached_property
    def edges(self) -> edge_field.EdgeField:
        return edge_field.edge_field(self.grey, self.dtype)

    @cached_property
    def edge_points(self) -> list[edge_field.EdgePoints]:
        return edge_field.strongest_points(self.edges)


def _small_grey(picture: Picture, side: int) -> Tensor:
    return resample.longer_side(picture.grey[:, None], side)[:, 0]


def check(images: Tensor) -> None:
    """Raises ValueError with one sentence when IMAGE `images` [B, H, W, C] cannot be measured."""
    if images.ndim != 4:
        raise ValueError("images: expected a batch of pictures, [pictures, height, width, channels], got "
                         f"{list(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"images: expected numbers from 0 to 1, got whole ones ({str(images.dtype)[6:]}); "
                         "divide by 255")
    count, height, width, channels = images.shape
    if not count:
        raise ValueError("images: expected at least one picture, got none")
    if channels not in (1, 3, 4):
        raise ValueError(f"images: expected 1 (grey), 3 (RGB) or 4 (RGBA) channels, got {channels}")
    check_sides(height, width)
    if not all(strip.isfinite().all() for strip in images.split(ROWS_AT_ONCE, 1)):
        raise ValueError("images: expected numbers from 0 to 1, got NaN or infinity")
    low, high = (each.item() for each in images.aminmax())
    if low < -BEYOND or high > 1 + BEYOND:
        raise ValueError(f"images: expected numbers from 0 to 1, got {low:.4g} to {high:.4g}"
                         + ("; divide by 255" if 0 <= low and 2 < high <= 255 else ""))


def check_sides(height: int, width: int) -> None:
    """Raises ValueError with one sentence when a picture of this size cannot be measured."""
    if min(height, width) < SHORTEST_SIDE:
        raise ValueError(f"images: expected at least {SHORTEST_SIDE} x {SHORTEST_SIDE} pixels, got {width} x {height}")
    if max(height, width) > LONGEST_SHAPE * min(height, width):
        raise ValueError(f"images: expected a longer side of at most {LONGEST_SHAPE} times the shorter, "
                         f"got {width} x {height} pixels")
