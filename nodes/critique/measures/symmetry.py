"""Symmetry: of the dark shape, as published, and of the whole picture."""
import torch
from torch import Tensor

from ....kernels.ordinal_patterns import mirrored_difference
from . import histogram

ROWS_AT_ONCE = 512
FORMS = 64  # pixels of the longer side at which likeness is seen


def fold(dark: Tensor, dtype: torch.dtype) -> Tensor:
    """Dark pixels of [B, H, W] that meet a dark one across the vertical middle, by nearness to it: [B, H, W // 2].

    The left half of the picture, from the rim (weight 1) to the middle (weight 2), scaled so that all of a dark
    picture sums to 1. `dark` is bool, or how much of each pixel is dark, 0..1.
    """
    height, half = dark.shape[1], dark.shape[2] // 2
    both = dark[:, :, :half] * dark.flip(2)[:, :, :half]
    near = 1 + torch.arange(half, dtype=dtype, device=dark.device) / (half - 1)
    return both * near * (2 / (3 * height * half))


def fold_diagonal(dark: Tensor, dtype: torch.dtype) -> Tensor:
    """The same across the main diagonal of a square [B, N, N]: the triangle below it, zeros elsewhere."""
    size = dark.shape[1]
    i, j = torch.arange(size, device=dark.device)[:, None], torch.arange(size, device=dark.device)[None]
    near = 1 + (j + 1) / i.clamp(min=1).to(dtype)
    return dark * dark.mT * (j < i) * near * (4 / (3 * size * (size - 1)))


def dark_shape(picture) -> Tensor:
    """The dark pixels, bool [B, H, W]: grey up to Otsu's threshold."""
    return picture.grey <= histogram.otsu(picture.grey_counts).to(picture.grey.device)


def folds(dark: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """A dark shape folded at its axes: horizontal, vertical and, when it is square, both diagonals."""
    straight = [fold(dark.mT, dtype), fold(dark, dtype)]
    if dark.shape[1] != dark.shape[2]:
        return straight
    return [*straight, fold_diagonal(dark, dtype), fold_diagonal(dark.rot90(1, (1, 2)), dtype)]


def mirror_symmetry(picture) -> Tensor:
    """Mean share of the dark shape (up to Otsu's threshold) that the axes of the picture mirror onto itself: %, 0..100.

    100 needs a wholly dark picture: a symmetric one with little dark stays low. Huebner & Fillinger 2016.
    """
    dark = dark_shape(picture)
    shares = [_folded(dark.mT, picture.dtype), _folded(dark, picture.dtype)]
    if dark.shape[1] == dark.shape[2]:
        shares += [_folded_diagonal(dark, picture.dtype), _folded_diagonal(dark.rot90(1, (1, 2)), picture.dtype)]
    return torch.stack(shares).mean(0) * 100


def _folded(dark: Tensor, dtype: torch.dtype) -> Tensor:
    """The sum of `fold`, from a count for each distance to the axis."""
    height, half = dark.shape[1], dark.shape[2] // 2
    met = (dark[:, :, :half] & dark.flip(2)[:, :, :half]).sum(1)
    near = 1 + torch.arange(half, dtype=dtype, device=dark.device) / (half - 1)
    return met.to(dtype) @ near * (2 / (3 * height * half))


def _folded_diagonal(dark: Tensor, dtype: torch.dtype) -> Tensor:
    """The sum of `fold_diagonal`, from two counts a row."""
    size = dark.shape[1]
    place = torch.arange(size, dtype=torch.int32, device=dark.device)
    total = 0
    for first in range(0, size, ROWS_AT_ONCE):
        i = place[first:first + ROWS_AT_ONCE]
        met = dark[:, first:first + ROWS_AT_ONCE] & dark[:, :, first:first + ROWS_AT_ONCE].mT & (place < i[:, None])
        along = (met * (place + 1)).sum(2)
        total = total + (met.sum(2) + along.to(dtype) / i.clamp(min=1)).sum(1)
    return total * (4 / (3 * size * (size - 1)))


def left_right(picture) -> Tensor:
    """Likeness of the picture and its mirror image, left to right: 0 .. 1 (symmetric).

    1 - sum |a - b| / sum max(a, b) over grey levels, the form that Brachmann & Redies 2016, doi
    10.3390/sym8120144, use for responses of filters. A black picture is symmetric.
    """
    return _likeness(picture)[:, 0]


def up_down(picture) -> Tensor:
    """The same, top to bottom."""
    return _likeness(picture)[:, 1]


def _likeness(picture) -> Tensor:
    # max(a, b) = (a + b + |a - b|) / 2, and the sum of b is the sum of a.
    apart = picture.once(_apart).to(picture.dtype)
    largest = apart / 2 + picture.grey.sum((1, 2))[:, None]
    return 1 - apart / torch.where(largest > 0, largest, 1)


def _apart(picture) -> Tensor:
    return mirrored_difference(picture.grey)


def likeness_left_right(picture) -> Tensor:
    """How far the left half mirrors the right: 1 (a mirror image), about 0 (no more alike than any two places), below 0
    (light where the other is dark).

    1 - mean |a - a'| / mean |a - b|, a' the mirrored place and b any place of the picture, of grey at a longer side of
    64 pixels: forms and not their grain. Inverting, mirroring or brightening a picture does not change it; a flat
    picture is symmetric. Our own.
    """
    return picture.once(likenesses)[:, 0]


def likeness_up_down(picture) -> Tensor:
    """The same of the upper and the lower half."""
    return picture.once(likenesses)[:, 1]


def likeness_half_turn(picture) -> Tensor:
    """The same of the picture and itself turned by half a turn."""
    return picture.once(likenesses)[:, 2]


def likenesses(picture) -> Tensor:
    """Likeness left to right, up to down and under half a turn: [B, 3]."""
    return alike(forms(picture))


def forms(picture) -> Tensor:
    """The grey picture at the size at which likeness is seen: [B, h, w]."""
    return picture.grey_at(FORMS).to(picture.dtype)


def alike(plane: Tensor) -> Tensor:
    """The three likenesses of [B, H, W]: [B, 3]."""
    chance = mean_difference(plane)
    apart = torch.stack([(plane - plane.flip(dims)).abs().mean((1, 2)) for dims in (2, 1, (1, 2))], 1)
    return 1 - apart / torch.where(chance > 0, chance, 1)[:, None]


def mean_difference(plane: Tensor) -> Tensor:
    """Mean |a - b| over all pairs of places of [B, H, W] (Gini 1912): [B]."""
    ordered = plane.flatten(1).sort(1).values
    number = ordered.shape[1]
    rank = torch.arange(1, number + 1, dtype=plane.dtype, device=plane.device)
    return 2 * (ordered @ (2 * rank - number - 1)) / number ** 2
