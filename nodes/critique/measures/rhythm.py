"""Rhythm: whether the picture repeats itself at a distance."""
import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 256
NEAREST, FARTHEST = 1 / 16, 1 / 2  # distances looked at, as shares of the longer and of each side


def repetition(picture) -> Tensor:
    """The highest separate peak of the autocorrelation of grey: about 0 (no repetition) .. 1 (a perfect pattern).

    At a longer side of 256 pixels, over displacements from 1/16 of it to half the sides, each by the pixels that
    overlap. A peak is higher than its eight neighbours; without one, or in one grey, 0. Lin, Wang & Yang 1997, doi
    10.1016/S0167-8655(97)00030-5, read the periods of textures from such peaks.
    """
    plane = picture.grey_at(SIDE).to(picture.dtype)
    likeness = autocorrelation(plane)
    height, width = plane.shape[1:]
    inner = F.pad(likeness[:, None], (1, 1, 1, 1), mode="replicate")
    ridge = F.max_pool2d(inner, 3, 1)[:, 0]
    down, right = int(height * FARTHEST), int(width * FARTHEST)
    y = torch.arange(-down, down + 1, dtype=plane.dtype, device=plane.device)[:, None]
    x = torch.arange(right + 1, dtype=plane.dtype, device=plane.device)[None]
    far = torch.hypot(y, x) >= max(height, width) * NEAREST
    inside = (y.abs() < down) & (x < right)  # at the border of the window nothing tells a peak from a slope
    return torch.where((likeness == ridge) & far & inside, likeness, 0).flatten(1).amax(1)


def autocorrelation(plane: Tensor) -> Tensor:
    """Correlation of [B, H, W] with itself displaced by up to half its sides: [B, 2 (H // 2) + 1, W // 2 + 1].

    Rows from -H // 2 to H // 2 down, columns from 0 to W // 2 to the right; 1 at no displacement, 0 in a flat plane.
    """
    height, width = plane.shape[1:]
    down, right = int(height * FARTHEST), int(width * FARTHEST)
    shape = (height + down, width + right)
    power = torch.fft.rfft2(plane - plane.mean((1, 2), keepdim=True), shape).abs() ** 2
    sums = torch.fft.irfft2(power, shape)
    sums = torch.cat((sums[:, shape[0] - down:], sums[:, :down + 1]), 1)[:, :, :right + 1]
    y = torch.arange(-down, down + 1, dtype=plane.dtype, device=plane.device).abs()[:, None]
    x = torch.arange(right + 1, dtype=plane.dtype, device=plane.device)[None]
    variance = sums[:, down:down + 1, :1] / (height * width)
    overlap = (height - y) * (width - x)
    return torch.where(variance > 1e-9, sums / overlap / torch.where(variance > 0, variance, 1), 0)
