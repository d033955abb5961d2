"""The different colours of a picture and how often each occurs.

Everything said about colour without regard to place is a sum over these. A photograph of a million pixels has about
250,000 of them, and one of 33 million pixels hardly more, so colour spaces are computed once a colour.
"""
from functools import cached_property

import torch
from torch import Tensor

from . import colour_spaces

CHUNK = 1 << 14      # colours
AT_ONCE = 1 << 22  # pixels: sorting them takes about 100 MB


class Palette:
    """The colours of one picture, uint8 sRGB [U, 3], their int64 counts [U], and which each pixel has, int32 [H, W]."""

    def __init__(self, colours: Tensor, counts: Tensor, places: Tensor, dtype: torch.dtype):
        self.colours, self.counts, self.places, self.dtype = colours, counts, places, dtype

    @cached_property
    def weight(self) -> Tensor:
        """Share of the pixels that have each colour, [U]."""
        return self.counts.to(self.dtype) / self.places.numel()

    @cached_property
    def rgb(self) -> Tensor:
        """[3, U], 0..255."""
        return self.colours.T.to(self.dtype)

    @cached_property
    def grey(self) -> Tensor:
        """Pillow's "L", uint8 [U]."""
        return colour_spaces.grey(self._image)[0, :, 0]

    @cached_property
    def lab(self) -> Tensor:
        """CIE L*a*b*, [3, U]."""
        return self._in_chunks(colour_spaces.lab)

    @cached_property
    def hsv(self) -> Tensor:
        """Hue, saturation and value, [3, U], 0..1."""
        return self._in_chunks(colour_spaces.hsv)

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the pixels of something each colour has, [..., U] -> [...]."""
        return values @ self.weight

    def std(self, values: Tensor) -> Tensor:
        """Standard deviation over the pixels, [..., U] -> [...]."""
        return self.mean((values - self.mean(values)[..., None]) ** 2).sqrt()

    def sums(self, bins: Tensor, length: int, weight: Tensor | None = None) -> Tensor:
        """Histogram over the pixels: int64 bins [U] -> [length], of `weight` [U] where given, else of pixels."""
        weight = self.counts if weight is None else weight * self.counts
        return weight.new_zeros(length).index_add_(0, bins, weight)

    def plane(self, values: Tensor) -> Tensor:
        """[C, U] -> [C, H, W], or [U] -> [H, W]."""
        spread = values.index_select(-1, self.places.flatten())
        return spread.view(*values.shape[:-1], *self.places.shape)

    def _in_chunks(self, space) -> Tensor:
        """[3, U]. A chunk of colours stays in the processor's cache from step to step."""
        found = torch.empty(3, len(self.colours), dtype=self.dtype, device=self.colours.device)
        for own, into in zip(self._image.split(CHUNK, 2), found.split(CHUNK, 1), strict=True):
            into.copy_(space(own, self.dtype)[0, :, :, 0])
        return found

    @property
    def _image(self) -> Tensor:
        return self.colours.T[None, :, :, None]


def palette(rgb: Tensor, dtype: torch.dtype) -> Palette:
    """uint8 [3, H, W] -> its palette, found a strip of rows at a time."""
    height, width = rgb.shape[1:]
    strips = [_distinct(strip) for strip in rgb.split(max(1, AT_ONCE // width), 1)]
    codes, counts, places = strips[0] if len(strips) == 1 else _joined(strips)
    colours = torch.stack((codes >> 16, codes >> 8 & 255, codes & 255), 1).to(torch.uint8)
    return Palette(colours, counts, places.view(height, width), dtype)


def _joined(strips: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """What `_distinct` gives of several strips, as of one."""
    codes, back = torch.unique(torch.cat([codes for codes, _, _ in strips]), return_inverse=True)
    counts = torch.zeros_like(codes, dtype=torch.int64).index_add_(0, back, torch.cat([c for _, c, _ in strips]))
    back = back.int().split([len(codes) for codes, _, _ in strips])
    places = [own.index_select(0, where) for own, (_, _, where) in zip(back, strips, strict=True)]
    return codes, counts, torch.cat(places)


def _distinct(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(codes, counts, place of each pixel among the codes) of uint8 [3, H, W]; a code is 0xRRGGBB."""
    r, g, b = rgb
    code = r.int().mul_(256).add_(g).mul_(256).add_(b)
    codes, where, counts = torch.unique(code.flatten(), return_inverse=True, return_counts=True)
    return codes, counts, where.int()
