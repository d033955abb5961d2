"""How energy is shared between coarse and fine structure: three published slopes and the roughness of one."""
import math

import torch
from torch import Tensor

from ..resample import longer_side
from .lines import fit


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


def rings(plane: Tensor, power: int) -> Tensor:
    """Mean of |spectrum| ** power of [B, N, N] at each rounded radius 0..N // 2 in cycles a picture: [B, N // 2 + 1].

    With odd N all frequencies are counted one step off, as the published implementations do.
    """
    size, step = plane.shape[-1], plane.shape[-1] % 2
    strength = torch.fft.rfft2(plane - plane.mean((1, 2), keepdim=True)).abs() ** power
    down = torch.fft.fftfreq(size, 1 / size, dtype=plane.dtype, device=plane.device).round()[:, None]
    right = torch.arange(strength.shape[2], dtype=plane.dtype, device=plane.device)
    twice = slice(1, (size + 1) // 2)  # the other half of the spectrum repeats these columns
    total, number = plane.new_zeros(len(plane), size // 2 + 2), plane.new_zeros(size // 2 + 2)
    for part, radius in ((strength, torch.hypot(down - step, right - step)),
                         (strength[:, :, twice], torch.hypot(down + step, right[twice] + step))):
        ring = radius.round().long().clamp(max=size // 2 + 1).flatten()
        total.index_add_(1, ring, part.flatten(1))
        number += torch.bincount(ring, minlength=len(number))
    return (total / number.clamp(min=1))[:, :-1]


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
    return picture.once(_redies_fit)[0]


def fourier_sigma(picture) -> Tensor:
    """How far log power strays from the line of `slope_redies`: variance of its residuals, 0 (straight) and up.

    log10 units, over all frequencies from 10 to 256 cycles per picture. Redies, Hasenstein & Denzler 2007; the
    published columns hold the variance, though they are called sigma.
    """
    slope, intercept, power = picture.once(_redies_fit)
    x = torch.arange(10, 257, dtype=power.dtype, device=power.device).log10()
    return (slope[:, None] * x + intercept[:, None] - _log10(power[:, 9:256])).var(1, correction=0)


def slope_spehar(picture) -> Tensor:
    """Slope of log amplitude against log frequency without outliers, about -2 (smooth) .. 0 (noise); 1/f noise -1.

    Largest centred square of 2^n pixels (a square picture whole), every frequency; rings whose Cook's distance in
    the linear fit is above 4 / n are left out first. Isherwood et al. 2021, doi 10.1016/j.visres.2021.01.001.
    """
    grey = picture.grey
    grey = grey[:, :grey.shape[1] // 2 * 2, :grey.shape[2] // 2 * 2]
    amplitude = rings(centre(grey).to(picture.dtype) if grey.shape[1] != grey.shape[2] else grey.to(picture.dtype), 1)
    x = torch.arange(1, amplitude.shape[1], dtype=picture.dtype, device=grey.device)
    slopes = []
    for y in amplitude[:, 1:]:
        kept = cooks_distance(x, y) <= 4 / len(x)
        slopes.append(fit(x[kept].log(), y[kept].clamp(min=torch.finfo(y.dtype).tiny).log()[None])[0][0])
    return torch.stack(slopes)


def slope_mather(picture) -> Tensor:
    """Half the slope of log power against log frequency, about -2 (smooth) .. 0 (noise); 1/f noise gives -1.

    CIE L* of the largest centred square of 2^n pixels, from 1/25 to 1/2 of the highest frequency. Mather 2014, doi
    10.1163/22134913-00002024.
    """
    power = rings(torch.stack([_lightness(own) for own in picture.palettes]), 2)
    highest = power.shape[1] - 1
    first, last = max(1, round(highest / 25) - 1), round(highest / 2)
    x = torch.arange(first, last, dtype=power.dtype, device=power.device)
    y = power[:, first:last].clamp(min=torch.finfo(power.dtype).tiny)
    return fit(x.log(), y.log())[0] / 2


def centre(plane: Tensor) -> Tensor:
    """The largest centred square of 2^n pixels in [..., H, W]."""
    height, width = plane.shape[-2:]
    side = 1 << min(height, width).bit_length() - 1
    top, left = height // 2 - side // 2, width // 2 - side // 2
    return plane[..., top:top + side, left:left + side]


def cooks_distance(x: Tensor, y: Tensor) -> Tensor:
    """Influence of each of N points on the straight line through them, [N] (Cook 1977, doi 10.2307/1268249)."""
    slope, intercept = fit(x, y[None])
    residual = y - slope * x - intercept
    leverage = 1 / len(x) + (x - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    variance = (residual ** 2).sum() / (len(x) - 2)
    return residual ** 2 / (2 * variance.clamp(min=torch.finfo(y.dtype).tiny)) * leverage / (1 - leverage) ** 2


def _redies_fit(picture) -> tuple[Tensor, Tensor, Tensor]:
    """(slope, intercept, power at each radius)."""
    power = rings(padded_square(picture.grey).to(picture.dtype), 2)
    bins = [(low, min(high, power.shape[1])) for low, high in log_bins(10, 256)]
    x = power.new_tensor([math.log10((low + high) / 2) for low, high in bins])
    return *fit(x, _log10(torch.stack([power[:, low - 1:high].mean(1) for low, high in bins], 1))), power


def _lightness(own) -> Tensor:
    # 8 bits as published: L* is cut, not rounded; what rounding took from a whole number is given back.
    levels = (own.lab[0] * 2.55 + (1e-9 if own.dtype == torch.float64 else 1e-4)).floor()
    return centre(own.plane(levels)) / 255


def _log10(power: Tensor) -> Tensor:
    return power.clamp(min=torch.finfo(power.dtype).tiny).log10()
