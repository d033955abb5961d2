"""Measures as sums over places: what each pixel adds, so that the plane sums to the measure.

Each function takes a `Picture` of one or more pictures and returns [B, h, w]; edges live on their own, smaller grid.
Balance and DCM distance are signed: positive where the picture is pulled to, negative where it is held back.
Slope Redies and 2nd-order EOE are properties of frequencies and of pairs, and have no places.
"""
import math

import torch
from torch import Tensor

from . import balance, edges, histogram, shape, symmetry


def _spread(plane: Tensor) -> Tensor:
    squared = (plane - plane.mean((1, 2), keepdim=True)) ** 2
    deviation = squared.mean((1, 2), keepdim=True).sqrt()
    return squared / torch.where(deviation > 0, deviation, 1) / plane[0].numel()


def _surprise(plane: Tensor) -> Tensor:
    """Entropy as what it is, a mean of surprise: places of rare levels add most."""
    bins = histogram.levels(plane).flatten(1)
    surprise = histogram.surprise(histogram.counts(bins, 256).to(plane.dtype))
    return surprise.gather(1, bins).view_as(plane) / plane[0].numel()


def _edge_density(picture) -> Tensor:
    return picture.edges.response / picture.edges.response[0].numel()


def _first_order_eoe(picture) -> Tensor:
    plane = torch.zeros_like(picture.edges.response)
    for density, points in zip(plane, picture.edge_points, strict=True):
        mass = edges.orientation_mass(points)
        density[points.y, points.x] = points.response / mass.sum() * histogram.surprise(mass)[points.orientation]
    return plane


def _mirror_symmetry(picture) -> Tensor:
    horizontal, vertical, *diagonals = symmetry.folds(symmetry.dark_shape(picture), picture.dtype)
    planes = [_unfold(horizontal, picture.grey.shape[1]).mT, _unfold(vertical, picture.grey.shape[2])]
    planes += [(fold + fold.mT) / 2 for fold in diagonals[:1]]
    planes += [((fold + fold.mT) / 2).rot90(-1, (1, 2)) for fold in diagonals[1:]]
    return torch.stack(planes).mean(0) * 100


def _unfold(half: Tensor, width: int) -> Tensor:
    plane = half.new_zeros(*half.shape[:2], width)
    plane[:, :, :half.shape[2]] = half / 2
    plane[:, :, width - half.shape[2]:] = half.flip(2) / 2
    return plane


def _homogeneity(picture) -> Tensor:
    heavy = shape.foreground(picture).to(picture.dtype)
    rows, columns = (shape.cell_of(length, heavy.device) for length in heavy.shape[1:])
    by_row = heavy.new_zeros(len(heavy), shape.CELLS).index_add_(1, rows, heavy.sum(2))
    by_column = heavy.new_zeros(len(heavy), shape.CELLS).index_add_(1, columns, heavy.sum(1))
    surprise = histogram.surprise(by_row)[:, rows, None] + histogram.surprise(by_column)[:, None, columns]
    share = heavy / heavy.sum((1, 2), keepdim=True).clamp(min=1)
    return share * surprise / (2 * math.log2(shape.CELLS)) * 100


def _balance(picture) -> Tensor:
    mass = balance.weight(picture, 127)
    share = mass / mass.sum((1, 2), keepdim=True)
    plane = torch.zeros_like(mass)
    for tilt in balance.tilts(*mass.shape[1:], device=mass.device):
        pull = share * tilt
        plane += pull * pull.sum((1, 2), keepdim=True).sign()
    return plane / 8 * 100


def _dcm_distance(picture) -> Tensor:
    """Sums to the distance of the fulcrum before it is rounded to a whole pixel."""
    mass = balance.weight(picture)
    height, width = mass.shape[1:]
    share = mass / mass.sum((1, 2), keepdim=True)
    x = (torch.arange(width, device=mass.device, dtype=mass.dtype) + 1) / width - 0.5
    y = (torch.arange(height, device=mass.device, dtype=mass.dtype)[:, None] + 1) / height - 0.5
    pull_x, pull_y = ((share * axis).sum((1, 2), keepdim=True) for axis in (x, y))
    distance = torch.hypot(pull_x, pull_y)
    return share * (x * pull_x + y * pull_y) / torch.where(distance > 0, distance, 1) * 200


DENSITIES = {
    "RMS contrast": lambda picture: _spread(picture.lab[:, 0]),
    "Luminance entropy": lambda picture: _surprise(picture.lab[:, 0]),
    "Edge density": _edge_density,
    "Color entropy": lambda picture: _surprise(picture.hsv[:, 0]),
    "mean S channel": lambda picture: picture.hsv[:, 1] / picture.hsv[0, 1].numel(),
    "std a channel": lambda picture: _spread(picture.lab[:, 1]),
    "std b channel (Lab)": lambda picture: _spread(picture.lab[:, 2]),
    "std S channel": lambda picture: _spread(picture.hsv[:, 1]),
    "Mirror symmetry": _mirror_symmetry,
    "DCM distance": _dcm_distance,
    "Balance": _balance,
    "Homogeneity": _homogeneity,
    "1st-order EOE": _first_order_eoe,
}
