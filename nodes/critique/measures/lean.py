"""Where the visual weight leans: to a side, along a diagonal, to the rim or to the middle.

The published Balance mixes all of these, and takes its diagonals at 45 degrees whatever the format, so that a flat
grey of 2:1 is out of balance (see `balance.tilts`). Here every division cuts the picture into two equal parts that half
a turn brings onto each other, or into a middle and a rim of equal area: a flat picture leans nowhere.
"""
import torch
from torch import Tensor

from . import balance


def tilt(picture) -> Tensor:
    """Imbalance: mean of |one part less the other| over left and right, top and bottom and the two sides of both
    diagonals of the picture, % of the weight: 0 (nothing leans, or what leans lies in the middle) .. 100. Our own."""
    return picture.once(leans).abs().mean(1)


def lean_right(picture) -> Tensor:
    """The weight of the right half less that of the left, % of the weight: -100 (all on the left) .. 100."""
    return picture.once(leans)[:, 0]


def lean_down(picture) -> Tensor:
    """The weight of the lower half less that of the upper, % of the weight: -100 (all on top) .. 100."""
    return picture.once(leans)[:, 1]


def rim_weight(picture) -> Tensor:
    """The weight of the rim less that of the middle rectangle of half the area, % of the weight: -100 .. 100."""
    mass = picture.once(weight)
    down, right = (_middle(length, mass.dtype, mass.device) for length in mass.shape[1:])
    total = mass.sum((1, 2))
    return (total - 2 * (mass @ right) @ down) / total * 100


def light_weighs(picture) -> Tensor:
    """1 where light is the weight of the picture, because most of it is dark; 0 where dark is."""
    return 1 - balance.inverted(picture, 127).to(picture.dtype)


def leans(picture) -> Tensor:
    """Right less left, bottom less top, and the two diagonals, % of the weight: [B, 4]."""
    mass = balance.levels(picture, 127)
    return _divided(mass).to(picture.dtype) / mass.sum((1, 2))[:, None] * 100


def _divided(mass: Tensor) -> Tensor:
    """The sum of weight times each of `divisions`: uint8 [B, H, W] -> int64 [B, 4], without forming them.

    In a row a diagonal parts what is left of one place from what is right of it; see `balance.torques`."""
    height, width = mass.shape[1:]
    y, size = 2 * torch.arange(height, device=mass.device) + 1 - height, torch.tensor([width], device=mass.device)
    # The pixels of a row with x * height < y * width, x as in `divisions`; and those with <=.
    below, until = (((y * width + (width - 1) * height + also) // (2 * height) + 1).clamp(0, width) for also in (-1, 0))
    flipped = [size - end for end in (until, below)]        # with -x, for the other diagonal
    left = balance.before(mass, torch.stack((below, until, *flipped, y * 0 + width, y * 0 + width // 2,
                                             y * 0 + width - width // 2)))
    total, rows = left[:, 4], mass.sum(2, dtype=torch.int64)
    down = (rows * y.sign()).sum(1)
    right = total - left[:, 6] - left[:, 5]
    return torch.stack((right, down, total - left[:, 1] - left[:, 0], total - left[:, 3] - left[:, 2]), 1)


def weight(picture) -> Tensor:
    """Visual weight as Balance takes it: [B, H, W], 1..255."""
    return balance.weight(picture, 127)


def divisions(height: int, width: int, dtype: torch.dtype, device=None) -> list[Tensor]:
    """+1 and -1 in the two parts of each of four divisions, 0 on the lines between: [H, W] each."""
    y = 2 * torch.arange(height, device=device)[:, None] + 1 - height
    x = 2 * torch.arange(width, device=device)[None] + 1 - width
    down, right = y * width, x * height     # whole numbers: the diagonals of the picture are where they are equal
    planes = (right + 0 * down, down + 0 * right, right - down, right + down)
    return [plane.sign().to(dtype) for plane in planes]


def rim(height: int, width: int, dtype: torch.dtype, device=None) -> Tensor:
    """+1 in the rim, -1 in the middle rectangle of half the area; pixels on its border have a part of each: [H, W]."""
    inside = [_middle(length, dtype, device) for length in (height, width)]
    return 1 - 2 * inside[0][:, None] * inside[1][None]


def _middle(length: int, dtype: torch.dtype, device) -> Tensor:
    """How much of each pixel of a side lies in its middle 1 / sqrt(2)."""
    place = torch.arange(length, dtype=dtype, device=device) + 0.5 - length / 2
    return (length / 2 ** 1.5 - place.abs() + 0.5).clamp(0, 1)
