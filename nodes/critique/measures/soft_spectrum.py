"""The power spectrum of an enlarged picture, from the small one.

Enlarging, padding and the Fourier transform are all linear: the waves of the large picture are the small one between
two narrow matrices, and the large one need not be made. Nothing is approximated, the rim included.
"""
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def enlarged_rings(plane: Tensor, side: int, highest: int) -> Tensor:
    """Mean power of [B, H, W] at each rounded radius 0..highest in cycles a picture: [B, highest + 1].

    Of the plane, its longer side brought to `side` pixels (bicubic) and padded with zeros to a square of even `side`;
    `highest` lies below half of it. See `spectrum.rings`.
    """
    size = plane.shape[1:]
    scale = side / max(size)
    down, across = (waves_on(length, max(1, int(length * scale)), side, highest, plane.dtype, plane.device)
                    for length in size)
    top, bottom = (down @ plane @ across.mT).square().chunk(2, 1)
    left, right = (top + bottom).chunk(2, 2)
    power = left + right  # the mean over both signs of a frequency: what mixes sine and cosine cancels
    at = torch.arange(highest + 1, dtype=plane.dtype, device=plane.device)
    alike = torch.where(at > 0, 2, 1).to(plane)
    alike = (alike[:, None] * alike).flatten()
    ring = torch.hypot(at[:, None], at).round().long().clamp(max=highest + 1).flatten()
    total, number = plane.new_zeros(len(plane), highest + 2), plane.new_zeros(highest + 2)
    total = total.index_add(1, ring, power.flatten(1) * alike)
    return (total / number.index_add(0, ring, alike))[:, :-1]


@lru_cache(maxsize=16)
def waves_on(length: int, longer: int, side: int, highest: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`waves` in a dtype and on a device; made once, because guidance asks for the same at every step."""
    with torch.inference_mode(False):
        return waves(length, longer, side, highest).to(dtype).to(device)


def waves(length: int, longer: int, side: int, highest: int) -> Tensor:
    """Cosines and sines of 0..highest cycles in `side` pixels of each of `length` pixels brought to `longer`:
    [2 * (highest + 1), length], float64."""
    with torch.inference_mode(False):
        unit = torch.eye(length, dtype=torch.float64)[None, None]
        large = F.interpolate(unit, (longer, length), mode="bicubic", antialias=True)[0, 0]
        found = torch.fft.rfft(large, side, dim=0)[:highest + 1]
        return torch.cat((found.real, found.imag))
