"""Edges and how their orientations relate (Redies, Brachmann & Wagemans 2017, doi 10.1016/j.visres.2017.02.004)."""
import math
from typing import NamedTuple

import torch
from torch import Tensor

from ....kernels.oriented_pairs import oriented_pairs
from .. import resample
from . import histogram

ORIENTATIONS = 24
PIXELS = 300 * 400
STRONGEST = 10000
NEAR, FAR = 20, 240


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


def gabor_bank(size: int = 31) -> Tensor:
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
    bank = gabor_bank().to(plane)
    height, width = plane.shape[1:]
    # Every filter sums to zero, so the mean changes no response; without it a flat picture answers exactly zero.
    padded = mirrored(plane - plane.mean((1, 2), keepdim=True), bank.shape[-1] // 2)
    shape = padded.shape[1:]
    spectrum = torch.fft.rfft2(padded)
    strongest = torch.zeros_like(plane)
    orientation = torch.zeros_like(plane, dtype=torch.long)
    for index, kernel in enumerate(bank):
        full = torch.fft.irfft2(spectrum * torch.fft.rfft2(kernel, shape), shape)
        # Whole grey levels times four-place filters: rounding undoes the transform's error, and ties are true ties.
        response = torch.round(full[:, -height:, -width:], decimals=4)
        better = response.abs() > strongest
        strongest = torch.where(better, response.abs(), strongest)
        orientation = torch.where(better, torch.where(response < 0, index + len(bank), index), orientation)
    return EdgeField(strongest, orientation)


def strongest_points(field: EdgeField) -> list[EdgePoints]:
    """The 10,000 strongest places of each picture (more where the last of them tie, fewer where nothing answers)."""
    points = []
    for response, orientation in zip(*field, strict=True):
        cutoff = response.flatten().topk(STRONGEST).values[-1]
        y, x = ((response >= cutoff) & (response > 0)).nonzero(as_tuple=True)
        points.append(EdgePoints(y, x, orientation[y, x], response[y, x]))
    return points


def edge_density(picture) -> Tensor:
    """Mean of the strongest Gabor response over the picture, 0 to about 300 (grey levels)."""
    return picture.edges.response.mean((1, 2))


def orientation_mass(points: EdgePoints) -> Tensor:
    """Response at each of the 24 orientations, [24]."""
    return histogram.counts(points.orientation[None], ORIENTATIONS, points.response[None])[0]


def first_order_eoe(picture) -> Tensor:
    """Entropy of edge orientations, by response: bits, 0 (one direction) .. 4.585 (all alike); 0 without edges."""
    return torch.stack([histogram.entropy(orientation_mass(points)) for points in picture.edge_points])


def second_order_eoe(picture) -> Tensor:
    """Entropy of the orientation of one edge seen from another, 20 to 239 pixels away: bits, 0 .. 4.585.

    Mean over distances of the mean over 48 directions; a cell with a weight up to 1 counts as empty, and a picture
    without pairs of edges has entropy 0.
    """
    shape = tuple(picture.edges.response.shape[1:])
    return torch.stack([_pair_entropy(points, shape) for points in picture.edge_points])


def _pair_entropy(points: EdgePoints, shape: tuple[int, int]) -> Tensor:
    counts = oriented_pairs(*points, shape, NEAR, FAR, ORIENTATIONS)
    cells = histogram.entropy(counts).masked_fill(counts.sum(2) + 1e-5 <= 1, float("nan"))
    return cells.nanmean(1).nanmean().nan_to_num(0)
