"""Measures as sums over places: what each pixel adds, so that the plane sums to the measure.

Each function takes a `Picture` of one or more pictures and returns [B, h, w]; edges live on their own, smaller grid.
Balance and DCM distance are signed: positive where the picture is pulled to, negative where it is held back.
Slope Redies and 2nd-order EOE are properties of frequencies and of pairs, and have no places. Of the likenesses, 1 in
a picture that is its own mirror image, LACKS holds what each place takes from that 1: where the halves differ.
"""
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from . import MEASURES, balance, edges, histogram, lean, movement, shape, symmetry


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


def _tilt(picture) -> Tensor:
    mass = lean.weight(picture)
    share = mass / mass.sum((1, 2), keepdim=True)
    parts = lean.divisions(*mass.shape[1:], dtype=mass.dtype, device=mass.device)
    pulls = [share * part for part in parts]
    return sum(pull * pull.sum((1, 2), keepdim=True).sign() for pull in pulls) / len(parts) * 100


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


def _coherence(picture) -> Tensor:
    rows, columns, both = picture.once(movement.tensor)
    return _part(torch.hypot(rows - columns, 2 * both), rows + columns)


def _obliqueness(picture) -> Tensor:
    rows, columns, both = picture.once(movement.tensor)
    return _part(2 * both.abs(), torch.hypot(rows - columns, 2 * both))


def _leading_direction(picture) -> Tensor:
    """Positive where edges run in the leading direction, negative where they run across it."""
    rows, columns, both = picture.once(movement.tensor)
    along, across = ((plane.sum((1, 2), keepdim=True)) for plane in (rows - columns, 2 * both))
    length = torch.hypot(along, across)
    return _part(((rows - columns) * along + 2 * both * across) / torch.where(length > 0, length, 1), rows + columns)


def _slant(picture) -> Tensor:
    """Positive where edges slant to the side that leads, negative where they slant to the other."""
    rows, columns, both = picture.once(movement.tensor)
    return _part(2 * both * both.sum((1, 2), keepdim=True).sign(), rows + columns)


def _part(plane: Tensor, of: Tensor) -> Tensor:
    whole = of.sum((1, 2), keepdim=True)
    return plane / torch.where(whole > 0, whole, 1)


def _unlike(dims: tuple[int, ...]):
    """How far each place differs from its mirrored one, as a share of how far any two places do."""
    def density(picture) -> Tensor:
        small = symmetry.forms(picture)
        chance = symmetry.mean_difference(small)[:, None, None]
        return (small - small.flip(dims)).abs() / torch.where(chance > 0, chance, 1) / small[0].numel()
    return density


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
    "Tilt": _tilt,
    "Homogeneity": _homogeneity,
    "1st-order EOE": _first_order_eoe,
    "Coherence": _coherence,
    "Obliqueness": _obliqueness,
    "Leading direction": _leading_direction,
    "Slant": _slant,
}

LACKS = {"Likeness left-right": _unlike((2,)), "Likeness up-down": _unlike((1,)), "Likeness half-turn": _unlike((1, 2))}
"""Planes that sum to what the measure lacks of 1."""


def mapped(criterion: str, columns: Sequence[str]) -> str:
    """The column that a map of the criterion with these columns shows: one with places where there is one.

    Raises ValueError with one sentence where none of them is measured in the picture."""
    measured = [name for name in columns if name in MEASURES]
    if not measured:
        raise ValueError(f"heat: {criterion} has no measure of which a map could be drawn")
    return next((name for name in measured if name in DENSITIES or name in LACKS), measured[0])
