"""The grey and colour planes that the published definitions start from (Pillow's L, scikit-image's Lab and HSV)."""
import torch
from torch import Tensor

XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE_D65 = (0.95047, 1.0, 1.08883)


def grey(rgb: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] -> uint8 [B, H, W]: Pillow's "L", the luma of ITU-R 601 in 16-bit fixed point."""
    r, g, b = rgb.int().unbind(1)
    return ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).to(torch.uint8)


def lab(rgb: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 sRGB [B, 3, H, W] -> CIE L*a*b* [B, 3, H, W] under D65; L* is 0..100, a* and b* about -128..127."""
    level = torch.arange(256, dtype=dtype, device=rgb.device) / 255
    linear = torch.where(level > 0.04045, ((level + 0.055) / 1.055) ** 2.4, level / 12.92)[rgb.int()]
    matrix = torch.tensor(XYZ_FROM_RGB, dtype=dtype, device=rgb.device)
    white = torch.tensor(WHITE_D65, dtype=dtype, device=rgb.device)
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear) / white[:, None, None]
    x, y, z = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), 1)


def hsv(rgb: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 sRGB [B, 3, H, W] -> hue, saturation and value [B, 3, H, W], 0..1; grey has hue and saturation 0."""
    rgb = rgb.to(dtype) * (1 / 255)
    value, spread = rgb.amax(1), rgb.amax(1) - rgb.amin(1)
    step = torch.where(spread > 0, spread, 1)
    r, g, b = rgb.unbind(1)
    sector = torch.where(r == value, (g - b) / step, 0)
    sector = torch.where(g == value, 2 + (b - r) / step, sector)
    sector = torch.where(b == value, 4 + (r - g) / step, sector)
    hue = torch.where(spread > 0, (sector / 6) % 1, 0)
    return torch.stack((hue, spread / torch.where(value > 0, value, 1), value), 1)
