"""How energy is shared between coarse and fine structure: three published slopes and the roughness of one."""
import math
from functools import lru_cache

import torch
from torch import Tensor

from ..picture.resample import longer_side


def above_mean(grey: Tensor, dtype: torch.dtype, side: int = 1024) -> Tensor:
    """uint8 [B, H, W] with its longer side at `side` pixels, less its own mean grey to the whole level: [B, h, w].

    The published definition puts the picture into the middle of a square of that grey; without it the square is zeros
    around it, which only move it, and where a picture lies does not change how strong a frequency is."""
    mean = grey.sum((1, 2)).cpu().double().div(grey[0].numel()).round().to(grey.device, dtype)
    return longer_side(grey[:, None], side)[:, 0].to(dtype) - mean[:, None, None]


def rings(plane: Tensor, power: int, last: int | None = None, size: int | None = None) -> Tensor:
    """Mean of |spectrum| ** power of [B, N, N] without its mean, at each rounded radius 0..N // 2 in cycles a picture,
    or up to `last`: [B, N // 2 + 1]. power: 1 or 2. size: of a plane [B, H, W] that goes on with zeros to this side, of
    which no mean is taken away.

    With odd N all frequencies are counted one step off, as the published implementations do.
    """
    if size is None:
        size, plane = plane.shape[-1], plane - plane.mean((1, 2), keepdim=True)
    last = size // 2 if last is None else min(last, size // 2)
    reach = min(last + 3, size // 2 + 1)        # columns and rows beyond hold no radius up to `last`
    spectrum = torch.fft.fft(torch.fft.rfft(plane, size)[:, :, :reach], size, dim=1)
    if 2 * reach < size:
        spectrum = torch.cat((spectrum[:, :reach], spectrum[:, size - reach:]), 1)
    squares = torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)
    strength = squares if power == 2 else squares.sqrt_()
    ring, other, twice, number = _rings(size, last, reach, plane.device)
    totals = [torch.bincount(ring, own.flatten(), last + 2) + torch.bincount(other, own[:, twice].flatten(), last + 2)
              for own in strength]
    return (torch.stack(totals) / number.clamp(min=1))[:, :-1]


@lru_cache(maxsize=8)
def _rings(size: int, last: int, reach: int, device: torch.device) -> tuple[Tensor, Tensor, slice, Tensor]:
    """The ring of each frequency of a half spectrum, int16; that of its mirror image for the columns `twice`, which the
    other half repeats; these columns; how many frequencies each ring has. Beyond `last` all are one ring."""
    with torch.inference_mode(False):
        step = size % 2
        down = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64).round()
        down = (torch.cat((down[:reach], down[size - reach:])) if 2 * reach < size else down)[:, None]
        right = torch.arange(reach, dtype=torch.float64)
        twice = slice(1, min(reach, (size + 1) // 2))
        ring, other = (radius.round().clamp(max=last + 1).to(torch.int16).flatten().to(device) for radius in (
            torch.hypot(down - step, right - step), torch.hypot(down + step, right[twice] + step)))
        number = torch.bincount(ring, minlength=last + 2) + torch.bincount(other, minlength=last + 2)
        return ring, other, twice, number


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
    lightness = torch.stack([_lightness(own) for own in picture.palettes])
    highest = lightness.shape[1] // 2
    first, last = max(1, round(highest / 25) - 1), round(highest / 2)
    power = rings(lightness, 2, last)
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
    plane = above_mean(picture.grey, picture.dtype)
    power = rings(plane, 2, 256, max(plane.shape[1:]))
    x, shares = _redies_bins(power.shape[1], power.dtype, power.device)
    return *fit(x, _log10(power @ shares)), power


@lru_cache(maxsize=4)
def _redies_bins(length: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The log frequency of each bin, [K], and how much each of `length` frequencies is of its mean, [length, K]. Must
    not be written into."""
    with torch.inference_mode(False):
        bins = [(low, min(high, length)) for low, high in log_bins(10, 256)]
        shares = torch.zeros(length, len(bins), dtype=dtype, device=device)
        for own, (low, high) in zip(shares.T, bins, strict=True):
            own[low - 1:high] = 1 / (high - low + 1)
        return shares.new_tensor([math.log10((low + high) / 2) for low, high in bins]), shares


def _lightness(own) -> Tensor:
    # 8 bits as published: L* is cut, not rounded; what rounding took from a whole number is given back.
    levels = (own.lab[0] * 2.55 + (1e-9 if own.dtype == torch.float64 else 1e-4)).floor()
    inner = centre(own.places)
    return levels.index_select(0, inner.flatten()).view(inner.shape) / 255


def _log10(power: Tensor) -> Tensor:
    return power.clamp(min=torch.finfo(power.dtype).tiny).log10()


def fit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of y [B, N] on x [N]: (slope, intercept), [B] each."""
    apart = x - x.mean()
    slope = y @ apart / (apart @ apart)
    return slope, y.mean(1) - slope * x.mean()
