"""Masks of a picture at the tokens and feature maps of a model that draws it.

A mask is resized to the latent by area, so that a token at its edge gets the share of it that lies inside.
"""
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .token_streams import JOINT, PICTURE


class TokenMasks:
    """The masks at every layer of one call of the model. Kept from step to step: they only depend on its shapes.

    latent: shape [batch, channels, (frames,) rows, columns]. chunks: how many times the batch holds its pictures, with
    and without the prompt. patch: places of the latent in one token. words: tokens before the picture where both are
    one sequence. padding: the multiple to which a picture at the end of the sequence is filled up, 0 for elsewhere.
    levels: whether deeper layers have half the rows and columns. references: whether other pictures' tokens may follow.
    frame_ratio: frames of a video in one frame of the latent.

    Raises ValueError with one sentence for masks of another count."""

    def __init__(self, masks: Sequence[Tensor], latent: Sequence[int], chunks: int, patch: tuple[int, int, int],
                 words: int, padding: int = 0, levels: bool = False, references: bool = False, frame_ratio: int = 1):
        self.levels, self.references = levels, references
        self.pictures, self.chunks, self.words, self.padding = latent[0] // chunks, chunks, words, padding
        self.size = tuple(latent[2:]) if len(latent) > 4 else (1, *latent[2:])
        self.patch, self.frame_ratio = patch, frame_ratio
        self.masks = [self._placed(mask) for mask in masks]
        self.grid = tuple(math.ceil(side / step) for side, step in zip(self.size, patch, strict=True))
        self._kept = {}

    def map(self, sides: Sequence[int], owners: tuple[int, ...], like: Tensor) -> Tensor:
        """[batch or 1, channels, rows, columns] for a feature map, one mask for each channel."""
        grid = (1, *sides) if len(sides) == 2 else tuple(sides)
        flat = lambda chosen: chosen[:, :, 0] if len(sides) == 2 else chosen
        return self._once((grid, owners), like, lambda: flat(self._chosen(self._at(grid), owners)))

    def tokens(self, count: int, stream: str, owners: tuple[int, ...], like: Tensor) -> Tensor:
        """[batch or 1, tokens, channels] for a sequence of tokens, one mask for each channel; 0 on words.

        Raises ValueError where the sequence is not the picture's."""
        return self._once((count, stream, owners), like, lambda: self._chosen(
            self._sequence(count, stream), owners).movedim(1, -1))

    def inside(self, region: int, count: int, like: Tensor) -> Tensor:
        """Places of a sequence of places that are in a region at all."""
        return self._once((count, region), like, lambda: (
            self._sequence(count, PICTURE)[region].amax(0) > 0).nonzero()[:, 0], torch.long)

    def shared(self, regions: tuple[int, ...], count: int, like: Tensor) -> Tensor:
        """Places of a sequence of places that none of these regions has to itself."""
        return self._once((count, regions, "shared"), like, lambda: (
            ~self._alone(self._sequence(count, PICTURE)[list(regions)])).nonzero()[:, 0], torch.long)

    @staticmethod
    def _alone(masks: Tensor) -> Tensor:
        """[regions, batch, places] to [places]: whether one region is 1 there and all others are 0."""
        least, most = masks.amin(1), masks.amax(1)
        return ((least == 1).sum(0) == 1) & ((most > 0).sum(0) == 1)

    def _chosen(self, stacked: Tensor, owners: tuple[int, ...]) -> Tensor:
        """[regions, batch, ...] to [batch, owners, ...]; one channel where all have the same owner."""
        owners = owners[:1] if len(set(owners)) == 1 else owners
        return stacked[list(owners)].movedim(0, 1)

    def _sequence(self, count: int, stream: str) -> Tensor:
        """[regions, batch or 1, tokens]"""
        places = self._at(self._level(count) if self.levels else self.grid).flatten(2)
        start = self._start(count, stream)
        after = count - start - places.shape[2]
        if start < 0 or after < 0 or (after and stream == PICTURE and not self.references):
            raise ValueError(_unknown(count, self.grid))
        return F.pad(places, (start, after))

    def _start(self, count, stream) -> int:
        if stream != JOINT:
            return 0
        return count - math.ceil(math.prod(self.grid) / self.padding) * self.padding if self.padding else self.words

    def _level(self, count: int) -> tuple[int, int, int]:
        frames, rows, columns = self.grid
        while rows * columns > count and (rows > 1 or columns > 1):
            rows, columns = math.ceil(rows / 2), math.ceil(columns / 2)
        if rows * columns != count:
            raise ValueError(_unknown(count, self.grid))
        return frames, rows, columns

    def _at(self, grid: tuple[int, ...]) -> Tensor:
        """[regions, batch or 1, *grid]"""
        stacked = [self._pooled(mask) if grid == self.grid else _resized(mask, grid) for mask in self.masks]
        batch = max(len(mask) for mask in stacked)
        stacked = torch.stack([mask.expand(batch, *mask.shape[1:]) for mask in stacked])
        return stacked if batch == 1 else stacked.repeat(1, self.chunks, 1, 1, 1)

    def _pooled(self, mask):
        """A token holds a patch of the latent, the last ones with the edge repeated."""
        at_latent = _resized(mask, self.size)
        missing = [(-side) % step for side, step in zip(self.size, self.patch, strict=True)]
        padded = F.pad(at_latent[:, None], [n for gap in reversed(missing) for n in (0, gap)], mode="replicate")
        return F.avg_pool3d(padded, self.patch)[:, 0]

    def _placed(self, mask: Tensor) -> Tensor:
        """[masks, rows, columns] as [pictures or 1, frames or 1, rows, columns]."""
        count, frames = len(mask), self.size[0]
        in_pixels = (frames - 1) * self.frame_ratio + 1
        if count in (1, self.pictures):
            return mask[:, None].float()
        if self.pictures == 1 and frames > 1 and count in (frames, in_pixels):
            return (mask if count == frames else _frames_joined(mask, self.frame_ratio))[None].float()
        expected = f"one for each of {self.pictures} pictures" if self.pictures > 1 else "no more for one picture"
        if frames > 1:
            expected += f", or one for each of {in_pixels} frames"
        raise ValueError(f"mask: expected 1 mask, {expected}, got {count} masks.")

    def _once(self, key, like: Tensor, make, dtype=None) -> Tensor:
        key = (*key, like.device, dtype or like.dtype)
        if key not in self._kept:
            with torch.inference_mode(False), torch.no_grad():
                self._kept[key] = make().to(like.device, dtype or like.dtype)
        return self._kept[key]


def _resized(mask: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """[batch, frames, rows, columns] at a grid; a mask without frames stays so where the grid has more."""
    if mask.shape[1] == 1 and grid[0] > 1:
        return _resized(mask, (1, *grid[1:])).expand(-1, grid[0], -1, -1)
    smaller = all(have >= want for have, want in zip(mask.shape[1:], grid, strict=True))
    mode = {"mode": "area"} if smaller else {"mode": "trilinear", "align_corners": False}
    return F.interpolate(mask[:, None], grid, **mode)[:, 0]


def _frames_joined(mask: Tensor, ratio: int) -> Tensor:
    """Masks of the frames of a video as those of its latent: the first alone, then the mean of `ratio` each."""
    return torch.cat([mask[:1].float(), mask[1:].float().unflatten(0, (-1, ratio)).mean(1)])


def _unknown(count: int, grid) -> str:
    rows, columns = grid[1:]
    return (f"model: expected tokens of a picture of {rows} x {columns} places, got {count} in a layer; another node "
            "that adds, merges or tiles tokens cannot be used with Regional LoRA.")
