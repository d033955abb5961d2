"""The grey and colour planes that the published definitions start from (Pillow's L, scikit-image's Lab and HSV)."""
from functools import lru_cache

import torch
from torch import Tensor

XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
LINEAR_UNTIL = 0.008856
WHITE_D65 = (0.95047, 1.0, 1.08883)


def grey(rgb: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] -> uint8 [B, H, W]: Pillow's "L", the luma of ITU-R 601 in 16-bit fixed point."""
    r, g, b = rgb.int().unbind(1)
    return ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).to(torch.uint8)


def lab(rgb: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 sRGB [B, 3, H, W] -> CIE L*a*b* [B, 3, H, W] under D65; L* is 0..100, a* and b* about -128..127."""
    levels, matrix, white = _lab_tables(dtype, rgb.device)
    linear = levels.index_select(0, rgb.flatten().int()).view(len(rgb), 3, -1)
    xyz = (matrix @ linear).div_(white[:, None])
    roots = cube_root(xyz)
    if not xyz.amin() > LINEAR_UNTIL:
        roots = torch.where(xyz > LINEAR_UNTIL, roots, 7.787 * xyz + 16 / 116)
    x, y, z = roots.unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), 1).view(rgb.shape)


@lru_cache(maxsize=4)
def _lab_tables(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Linear light of each 8-bit level, and the matrix and the white of XYZ. Must not be written into."""
    with torch.inference_mode(False):
        level = torch.arange(256, dtype=dtype, device=device) / 255
        linear = torch.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)
        return linear, *(torch.tensor(table, dtype=dtype, device=device) for table in (XYZ_FROM_RGB, WHITE_D65))


def cube_root(values: Tensor) -> Tensor:
    """Of floats above 0, to the last digits: a float64 power takes several times as long as one of Halley's steps,
    which takes the error of float32 to its third power."""
    root = values.float().clamp(min=1e-12).pow_(1 / 3).to(values.dtype)
    cube = root * root * root
    return root.mul_(cube + 2 * values).div_(cube.mul_(2).add_(values))


def hsv(rgb: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 sRGB [B, 3, H, W] -> hue, saturation and value [B, 3, H, W], 0..1; grey has hue and saturation 0."""
    rgb = rgb.to(dtype) * (1 / 255)
    r, g, b = rgb.unbind(1)
    value = torch.maximum(torch.maximum(r, g), b)
    spread = value - torch.minimum(torch.minimum(r, g), b)
    step = torch.where(spread > 0, spread, 1)
    sector = torch.where(r == value, (g - b) / step, 0)
    sector = torch.where(g == value, 2 + (b - r) / step, sector)
    sector = torch.where(b == value, 4 + (r - g) / step, sector)
    hue = torch.where(spread > 0, torch.where(sector < 0, sector / 6 + 1, sector / 6), 0)
    return torch.stack((hue, spread / torch.where(value > 0, value, 1), value), 1)
