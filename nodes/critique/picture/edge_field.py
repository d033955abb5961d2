"""Where the edges of a picture are and which way they run (Redies, Brachmann & Wagemans 2017)."""
import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from . import resample

ORIENTATIONS = 24
PIXELS = 300 * 400
STRONGEST = 10000
SIZE = 31       # pixels of a filter's side
PLACES = 10.0 ** 4
FIRST = 16      # more than there are filters: a response times this less its filter's number orders both at once


class EdgeField(NamedTuple):
    """Strongest Gabor response and its orientation (0..23, in steps of 15 degrees) at each place: [B, h, w] each."""
    response: Tensor
    orientation: Tensor


class EdgePoints(NamedTuple):
    """The strongest places of one picture: int64 [N] each, and their float responses [N]."""
    y: Tensor
    x: Tensor
    orientation: Tensor
    response: Tensor


def gabor_bank(size: int = SIZE) -> Tensor:
    """The first 12 of 24 odd-phase Gabor filters, float64 [12, size, size]; the other 12 are their negatives.

    1/8 cycle a pixel, half-response bandwidth 4 octaves, rounded to four places as published.
    """
    frequency, bandwidth = 1 / 8, 2.0 ** 4
    sigma = math.sqrt(math.log(2) / 2) / (math.pi * frequency) * (bandwidth + 1) / (bandwidth - 1)
    axis = torch.arange(size, dtype=torch.float64) - size // 2
    y, x = axis[:, None], axis[None]
    envelope = torch.round(torch.exp(-(x * x + y * y) / (2 * sigma * sigma)), decimals=4)
    theta = torch.arange(ORIENTATIONS // 2, dtype=torch.float64)[:, None, None] * (2 * math.pi / ORIENTATIONS)
    wave = torch.cos(2 * math.pi * frequency * (x * theta.sin() + y * theta.cos()) + math.pi / 2)
    return torch.round(envelope * wave, decimals=4)


def mirrored(plane: Tensor, rim: int) -> Tensor:
    """[B, H, W] continued by its mirror image for `rim` pixels on every side, also where the plane is smaller."""
    for dim in (1, 2):
        length = plane.shape[dim]
        place = torch.arange(-rim, length + rim, device=plane.device) % (2 * length)
        plane = plane.index_select(dim, torch.minimum(place, 2 * length - 1 - place))
    return plane


def edge_field(grey: Tensor, dtype: torch.dtype) -> EdgeField:
    """uint8 grey [B, H, W] -> the edges of the picture at about 120,000 pixels."""
    plane = resample.area(grey[:, None], PIXELS)[:, 0].to(dtype)
    height, width = plane.shape[1:]
    rim = SIZE // 2
    # Every filter sums to zero, so the mean changes no response; without it a flat picture answers exactly zero.
    padded = mirrored(plane - plane.mean((1, 2), keepdim=True), rim)
    shape = tuple(fast_length(length) for length in padded.shape[1:])
    turned = torch.view_as_real(torch.fft.rfft2(padded, shape) * 1j)
    rising, falling = (plane.new_full(plane.shape, end, dtype=torch.int32) for end in (-FIRST, FIRST))
    for index, kernel in enumerate(_spectra(shape, dtype, plane.device)):
        full = torch.fft.irfft2(torch.view_as_complex(turned * kernel[..., None]), shape)
        # Whole grey levels times four-place filters: rounding undoes the transform's error, and ties are true ties.
        response = full[:, rim:rim + height, rim:rim + width].round().int().mul_(FIRST)
        rising = torch.maximum(rising, response - index)    # of equal ones the first filter's
        falling = torch.minimum(falling, response + index)
    best = torch.maximum(rising, -falling)
    strongest = (best + (FIRST - 1)) // FIRST
    orientation = strongest * FIRST - best + (-falling > rising) * (ORIENTATIONS // 2)
    return EdgeField(strongest.to(dtype) / PLACES, orientation.long())


def fast_length(length: int) -> int:
    """The next length that a Fourier transform is quick at: no prime factors but 2, 3, 5 and 7."""
    while True:
        rest = length
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


@lru_cache(maxsize=2)
def _spectra(shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The imaginary part of the spectrum of each filter, in units of its last place, its middle in the corner of
    `shape`; the real part is 0, as the filters are odd. Kept, because pictures of one shape follow one another. Must
    not be written into."""
    with torch.inference_mode(False):
        bank = gabor_bank().to(device, dtype)
        planes = bank.new_zeros(len(bank), *shape)
        planes[:, :SIZE, :SIZE] = bank * PLACES
        return torch.fft.rfft2(planes.roll((-(SIZE // 2),) * 2, (1, 2))).imag.contiguous()


def strongest_points(field: EdgeField) -> list[EdgePoints]:
    """The 10,000 strongest places of each picture (more where the last of them tie, fewer where nothing answers)."""
    points = []
    for response, orientation in zip(*field, strict=True):
        cutoff = response.flatten().kthvalue(response.numel() - STRONGEST + 1).values
        y, x = ((response >= cutoff) & (response > 0)).nonzero(as_tuple=True)
        points.append(EdgePoints(y, x, orientation[y, x], response[y, x]))
    return points
