"""Edges and how their orientations relate (Redies, Brachmann & Wagemans 2017, doi 10.1016/j.visres.2017.02.004)."""
import torch
from torch import Tensor

from ....kernels.oriented_pairs import oriented_pairs
from ..picture.edge_field import ORIENTATIONS, EdgePoints
from . import histogram

NEAR, FAR = 20, 240


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
