"""Where the visual weight of a picture lies (Huebner & Fillinger 2016, doi 10.3389/fpsyg.2016.00335).

The weight of a pixel is its grey level, or 255 minus it in a picture with more light than dark pixels.
"""
import math

import torch
from torch import Tensor


def weight(picture, dark_share_from: int = 128) -> Tensor:
    """Visual weight [B, H, W], 0..255; a picture without any (black or white) weighs the same everywhere.

    The grey is inverted when the pixels below 128 are not more than those from `dark_share_from` on.
    """
    grey = picture.grey
    dark, light = (grey < 128).sum((1, 2)), (grey >= dark_share_from).sum((1, 2))
    mass = torch.where((dark > light)[:, None, None], grey, 255 - grey)
    return torch.where(mass.sum((1, 2), keepdim=True) > 0, mass, 1).to(picture.dtype)


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


def balance(picture) -> Tensor:
    """Assessment of Preference for Balance: mean of the eight tilts in % of the weight, 0 (balanced) .. 100.

    Wilson & Chatterjee 2005, doi 10.2190/CH36-1LWQ-E2VH-KGW8. Level 127 counts as dark and as light, as in the
    published implementation.
    """
    mass = weight(picture, 127).flatten(1)
    tilt = tilts(*picture.grey.shape[1:], device=mass.device).flatten(1)
    torque = torch.stack([(mass * t).sum(1) for t in tilt], 1)
    return (torque.abs() / mass.sum(1, keepdim=True)).mean(1) * 100


def fulcrum(picture) -> Tensor:
    """Where the picture would balance on a needle: (x, y) [B, 2] as shares of width and height, to the whole pixel."""
    mass = weight(picture)
    height, width = mass.shape[1:]
    total = mass.sum((1, 2))
    x = mass.sum(1) @ torch.arange(width, dtype=mass.dtype, device=mass.device) / total
    y = mass.sum(2) @ torch.arange(height, dtype=mass.dtype, device=mass.device) / total
    return torch.stack(((x.round() + 1) / width, (y.round() + 1) / height), 1)


def dcm_distance(picture) -> Tensor:
    """Deviation of the Centre of Mass: distance of the fulcrum from the middle in % of half a side, 0..141."""
    return (fulcrum(picture) - 0.5).norm(dim=1) * 200
