"""How energy is shared between coarse and fine structure."""
import math

import torch
from torch import Tensor

from ..resample import longer_side


def padded_square(grey: Tensor, side: int = 1024) -> Tensor:
    """uint8 [B, H, W], its longer side at `side` pixels, centred in a square of its own mean grey: [B, side, side]."""
    mean = grey.sum((1, 2)).cpu().double().div(grey[0].numel()).round().to(grey)
    small = longer_side(grey[:, None], side)[:, 0]
    height, width = small.shape[1:]
    size = max(height, width)
    top, left = size // 2 - height // 2, size // 2 - width // 2
    square = mean[:, None, None].repeat(1, size, size)
    square[:, top:top + height, left:left + width] = small
    return square


def radial_power(plane: Tensor) -> Tensor:
    """Mean power of [B, N, N] at each rounded radius 0..N // 2 in cycles per picture: [B, N // 2 + 1].

    Radii are counted from -N // 2 as the published implementation does, also when N is odd.
    """
    size = plane.shape[-1]
    power = torch.fft.fftshift(torch.fft.fft2(plane), (1, 2)).abs() ** 2
    axis = torch.arange(size, device=plane.device, dtype=plane.dtype) - (size + 1) // 2
    radius = torch.hypot(axis[:, None], axis[None]).round().long().clamp(max=size // 2 + 1).flatten()
    total = power.new_zeros(len(power), size // 2 + 2).index_add_(1, radius, power.flatten(1))
    return (total / torch.bincount(radius, minlength=size // 2 + 2).clamp(min=1))[:, :size // 2 + 1]


def log_bins(first: int, last: int, width: int = 2) -> list[tuple[int, int]]:
    """Logarithmic bins of whole frequencies, both ends included, that cover first..last; neighbours share an end."""
    number = math.ceil((last - first) / width)
    ends = [math.floor(10 ** (math.log10(first) + i * (math.log10(last) - math.log10(first)) / number))
            for i in range(number + 1)]
    return list(zip(ends[:-1], ends[1:], strict=True))


def slope_redies(picture) -> Tensor:
    """Slope of log power against log frequency from 10 to 256 cycles per picture, about -4 (smooth) .. 0 (noise).

    Least squares over logarithmic bins of the radially averaged power spectrum; white noise gives 0, 1/f noise -2.
    A picture of one grey has no spectrum: 0. Redies, Hasenstein & Denzler 2007, doi 10.1163/156856807782753921.
    """
    power = radial_power(padded_square(picture.grey).to(picture.dtype))
    bins = [(low, min(high, power.shape[1])) for low, high in log_bins(10, 256)]
    x = power.new_tensor([math.log10((low + high) / 2) for low, high in bins])
    y = torch.stack([power[:, low - 1:high].mean(1) for low, high in bins], 1)
    y = torch.log10(y.clamp(min=torch.finfo(y.dtype).tiny))
    x = x - x.mean()
    return (y @ x) / (x @ x)
