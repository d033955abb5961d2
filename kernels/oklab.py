"""8-bit sRGB to OKLab (Ottosson 2020, bottosson.github.io/posts/oklab) in arithmetic that every device does alike.

Only sums, products and bit patterns of float32, in a fixed order and without a root of the device's own: torch and
Triton then agree bit for bit, and so do the histograms of what comes out.
"""
from functools import cache

import torch
from torch import Tensor

LMS = ((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
       (0.0883024619, 0.2817188376, 0.6299787005))
LAB = ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
       (0.0259040371, 0.7827717662, -0.8086757660))
ROOT_START, THIRD, FOUR_THIRDS = 1.4200e9, 1 / 3, 4 / 3
HALLEY = (2 / 9, -7 / 9, 14 / 9)


@cache
def linear_levels(device: torch.device) -> Tensor:
    """Linear light of the 256 levels of sRGB (IEC 61966-2-1): float32 [256], 0..1."""
    level = torch.arange(256, dtype=torch.float64) / 255
    return torch.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92).float().to(device)


def oklab(rgb: Tensor) -> Tensor:
    """uint8 sRGB [3, N] -> float32 [3, N]: lightness 0..1, a (green to red) and b (blue to yellow) about -0.32..0.28.

    Within 5e-7 of the formula in double precision."""
    linear = linear_levels(rgb.device).index_select(0, rgb.flatten().int()).view(rgb.shape)
    return _mixed(LAB, _cube_root(_mixed(LMS, linear)))


def _mixed(matrix, planes: Tensor) -> Tensor:
    """matrix @ planes, the terms added from left to right."""
    out = torch.empty_like(planes)
    for row, target in zip(matrix, out, strict=True):
        torch.mul(planes[0], row[0], out=target).add_(planes[1] * row[1]).add_(planes[2] * row[2])
    return out


def _cube_root(x: Tensor) -> Tensor:
    """x r^2, where r = x^(-1/3) from a third of the exponent, a step of third order and one of Newton's."""
    r = x.view(torch.int32).float().mul_(-THIRD).add_(ROOT_START).int().view(torch.float32)
    cube = (r * r).mul_(x).mul_(r)  # x first: at x = 0 the third power alone would overflow
    r.mul_((cube * HALLEY[0]).add_(HALLEY[1]).mul_(cube).add_(HALLEY[2]))
    cube = torch.mul(r, r, out=cube).mul_(x).mul_(r)
    r.mul_(cube.mul_(-THIRD).add_(FOUR_THIRDS))
    return r.mul_(r).mul_(x)
