"""Where the visual weight of a picture lies (Huebner & Fillinger 2016, doi 10.3389/fpsyg.2016.00335).

The weight of a pixel is its grey level, or 255 minus it in a picture with more light than dark pixels.
"""
import math

import torch
from torch import Tensor

ROWS_AT_ONCE = 1024


def inverted(picture, dark_share_from: int = 128) -> Tensor:
    """Whether weight is 255 minus grey, bool [B]: pixels below 128 are not more than those from `dark_share_from`."""
    hist = picture.grey_counts
    return hist[:, :128].sum(1) <= hist[:, dark_share_from:].sum(1)


def mass_of(picture, dark_share_from: int = 128) -> Tensor:
    """Grey or 255 minus grey, uint8 [B, H, W]."""
    return picture.once(_mass, *inverted(picture, dark_share_from).tolist())


def _mass(picture, *turned: bool) -> Tensor:
    return torch.stack([255 - grey if turn else grey for grey, turn in zip(picture.grey, turned, strict=True)])


def levels(picture, dark_share_from: int = 128) -> Tensor:
    """Visual weight, uint8 [B, H, W]; a picture without any (black or white) weighs the same everywhere."""
    return picture.once(_levels, *inverted(picture, dark_share_from).tolist())


def _levels(picture, *turned: bool) -> Tensor:
    mass = picture.once(_mass, *turned)
    return torch.where(mass.amax((1, 2), keepdim=True) > 0, mass, 1)


def weight(picture, dark_share_from: int = 128) -> Tensor:
    """Visual weight [B, H, W], 0..255, in the precision of the picture."""
    return levels(picture, dark_share_from).to(picture.dtype)


def tilts(height: int, width: int, device=None) -> Tensor:
    """The eight ways a picture can tip: int8 [8, H, W] of +1, 0 and -1.

    Left against right, top against bottom, the two sides of both diagonals; then the outside against the inside of
    the same four: quarter bands at the edges, and the corners that cut a diagonal at 1 - 1 / sqrt(2) of the sides.
    """
    y, x = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)[None]

    def sides(first, second):
        return (first.expand(height, width).to(torch.int8) - second.expand(height, width).to(torch.int8))

    def outside(first, second):
        return 2 * (first | second).expand(height, width).to(torch.int8) - 1

    h, w = height // 2, width // 2
    h4, w4 = height // 4, width // 4
    cut_h, cut_w = height - int(height / math.sqrt(2)), width - int(width / math.sqrt(2))
    down, up = x - y, x + y - (width - 1)  # along the main diagonal; along the other one
    return torch.stack((
        sides(x < w, x >= width - w), sides(y < h, y >= height - h), sides(down > 0, down < 0), sides(up < 0, up > 0),
        outside(x < w4, x >= width - w4), outside(y < h4, y >= height - h4),
        outside(down <= -cut_h, down >= cut_w), outside(up <= -cut_w, up >= cut_h),
    ))


def torques(mass: Tensor) -> Tensor:
    """|sum of weight times tilt| for each of `tilts`: uint8 [B, H, W] -> int64 [B, 8], without forming the tilts.

    Each side of a tilt is, in a row, all that lies left or right of one place: cumulative sums answer all eight.
    """
    height, width = mass.shape[1:]
    y = torch.arange(height, device=mass.device)
    whole = torch.full_like(y, width)
    cut_h, cut_w = height - int(height / math.sqrt(2)), width - int(width / math.sqrt(2))
    left_until = torch.stack((whole - whole + width // 2, whole * (y < height // 2), y, width - 1 - y,
                              whole - whole + width // 4, whole * (y < height // 4), y - cut_h + 1, width - y - cut_w))
    right_from = torch.stack((whole - width // 2, whole * (y < height - height // 2), y + 1, width - y,
                              whole - width // 4, whole * (y < height - height // 4), y + cut_w, width - 1 - y + cut_h))
    sums = before(mass, torch.cat((left_until, right_from, whole[None])).clamp(0, width))
    total = sums[:, 16:]
    left, right = sums[:, :8], total - sums[:, 8:16]
    return torch.cat((left - right, 2 * (left + right) - total), 1)[:, [0, 1, 2, 3, 12, 13, 14, 15]].abs()


def before(mass: Tensor, ends: Tensor) -> Tensor:
    """Sum of the pixels before column ends[k, y] of each row y: uint8 [B, H, W], int64 [K, H] -> int64 [B, K]."""
    total = 0
    for rows, end in zip(mass.split(ROWS_AT_ONCE, 1), ends.split(ROWS_AT_ONCE, 1), strict=True):
        sums = torch.nn.functional.pad(rows.cumsum(2, dtype=torch.int32), (1, 0))
        total = total + sums.gather(2, end.T.expand(len(mass), -1, -1)).sum(1, dtype=torch.int64)
    return total


def balance(picture) -> Tensor:
    """Assessment of Preference for Balance: mean of the eight tilts in % of the weight, 0 (balanced) .. 100.

    Wilson & Chatterjee 2005, doi 10.2190/CH36-1LWQ-E2VH-KGW8. Level 127 counts as dark and as light, as in the
    published implementation.
    """
    mass = levels(picture, 127)
    return torques(mass).to(picture.dtype).mean(1) / mass.sum((1, 2)) * 100


def fulcrum(picture) -> Tensor:
    """Where the picture would balance on a needle: (x, y) [B, 2] as shares of width and height, to the whole pixel."""
    mass = levels(picture)
    shares = [_centre(mass.sum(dim)).add(1).to(picture.dtype) / mass.shape[3 - dim] for dim in (1, 2)]
    return torch.stack(shares, 1)


def _centre(mass: Tensor) -> Tensor:
    """The centre of int64 [B, N], counted from 0, to the whole place: float64 [B]."""
    place = torch.arange(mass.shape[1], device=mass.device)
    return ((mass * place).sum(1).double() / mass.sum(1)).round()


def dcm_distance(picture) -> Tensor:
    """Deviation of the Centre of Mass: distance of the fulcrum from the middle in % of half a side, 0..141."""
    return (picture.once(fulcrum) - 0.5).norm(dim=1) * 200


def dcm_x(picture) -> Tensor:
    """How far the fulcrum lies left of the middle, as a share of the width: -0.5 .. 0.5 (negative: to the right)."""
    return 0.5 - picture.once(fulcrum)[:, 0]


def dcm_y(picture) -> Tensor:
    """How far the fulcrum lies above the middle, as a share of the height: -0.5 .. 0.5 (negative: below)."""
    return 0.5 - picture.once(fulcrum)[:, 1]
