"""Mirror symmetry of the dark shape."""
import torch
from torch import Tensor

from . import histogram


def fold(dark: Tensor, dtype: torch.dtype) -> Tensor:
    """Dark pixels of [B, H, W] that meet a dark one across the vertical middle, by nearness to it: [B, H, W // 2].

    The left half of the picture, from the rim (weight 1) to the middle (weight 2), scaled so that all of a dark
    picture sums to 1.
    """
    height, half = dark.shape[1], dark.shape[2] // 2
    both = dark[:, :, :half] & dark.flip(2)[:, :, :half]
    near = 1 + torch.arange(half, dtype=dtype, device=dark.device) / (half - 1)
    return both * near * (2 / (3 * height * half))


def fold_diagonal(dark: Tensor, dtype: torch.dtype) -> Tensor:
    """The same across the main diagonal of a square [B, N, N]: the triangle below it, zeros elsewhere."""
    size = dark.shape[1]
    i, j = torch.arange(size, device=dark.device)[:, None], torch.arange(size, device=dark.device)[None]
    near = 1 + (j + 1) / i.clamp(min=1).to(dtype)
    return (dark & dark.mT & (j < i)) * near * (4 / (3 * size * (size - 1)))


def folds(picture) -> list[Tensor]:
    """The picture folded at its axes: horizontal, vertical and, when it is square, both diagonals."""
    dark = picture.grey <= histogram.otsu(picture.grey)
    straight = [fold(dark.mT, picture.dtype), fold(dark, picture.dtype)]
    if dark.shape[1] != dark.shape[2]:
        return straight
    return [*straight, fold_diagonal(dark, picture.dtype), fold_diagonal(dark.rot90(1, (1, 2)), picture.dtype)]


def mirror_symmetry(picture) -> Tensor:
    """Mean share of the dark shape (up to Otsu's threshold) that the axes of the picture mirror onto itself: %, 0..100.

    100 needs a wholly dark picture: a symmetric one with little dark stays low. Huebner & Fillinger 2016.
    """
    return torch.stack([f.sum((1, 2)) for f in folds(picture)]).mean(0) * 100
