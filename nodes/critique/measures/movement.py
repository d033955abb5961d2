"""Movement: whether the lines of a picture run one way from place to place, and how slanted they are."""
import torch
import torch.nn.functional as F
from torch import Tensor

from ....kernels.constants import constant

SIDE = 256
SIGMA = 2.0
RADIUS = 8


def coherence(picture) -> Tensor:
    """How clearly each place has one direction: 0 (none) .. 1 (parallel lines everywhere), by gradient energy.

    Mean of (l1 - l2) / (l1 + l2), l1 and l2 the eigenvalues of the structure tensor. Of the grey picture at a longer
    side of 256 pixels; 0 without gradients. Bigun & Granlund 1987; Jaehne 1997, Digital Image Processing.
    """
    rows, columns, both = picture.once(tensor)
    energy = (rows + columns).sum((1, 2))
    directed = torch.hypot(rows - columns, 2 * both).sum((1, 2))
    return directed / torch.where(energy > 0, energy, 1)


def obliqueness(picture) -> Tensor:
    """How slanted the directions are: 0 (level and upright) .. 1 (all at 45 degrees); all directions alike 0.64.

    Mean of |sin(2 x direction)| by directed gradient energy (as in `coherence`); 0 without.
    """
    rows, columns, both = picture.once(tensor)
    directed = torch.hypot(rows - columns, 2 * both).sum((1, 2))
    return 2 * both.abs().sum((1, 2)) / torch.where(directed > 0, directed, 1)


def leading_direction(picture) -> Tensor:
    """How far one direction rules the whole picture: 0 (none, or upright and level alike) .. 1 (parallel lines).

    The structure tensors of all places added up, and of their sum what `coherence` is of one place: a face of a house
    is coherent and has no leading direction, a meadow of upright grass has one. Our own.
    """
    rows, columns, both = picture.once(tensor)
    energy = (rows + columns).sum((1, 2))
    return torch.hypot((rows - columns).sum((1, 2)), 2 * both.sum((1, 2))) / torch.where(energy > 0, energy, 1)


def slant(picture) -> Tensor:
    """How far the leading direction is a slanting one: 0 (none leads, or it is upright or level) .. 1 (parallels at 45
    degrees): the part of `leading_direction` that runs along a diagonal. Slants to both sides hold each other. Our own.
    """
    rows, columns, both = picture.once(tensor)
    energy = (rows + columns).sum((1, 2))
    return (2 * both.sum((1, 2))).abs() / torch.where(energy > 0, energy, 1)


def tensor(picture) -> tuple[Tensor, Tensor, Tensor]:
    """The structure tensor: smoothed products of derivatives (down, down), (right, right), (down, right).

    Sobel derivatives and a Gaussian of 2 pixels, [B, h, w] each; scikit-image's `structure_tensor` with sigma=2 and
    mode="nearest" up to a factor.
    """
    return structure(picture.grey_at(SIDE).to(picture.dtype) / 255)


def structure(plane: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The structure tensor of float [B, H, W]."""
    smooth, slope = constant((0.25, 0.5, 0.25), plane), constant((-0.5, 0.0, 0.5), plane)
    down, right = separable(plane, slope, smooth), separable(plane, smooth, slope)
    place = torch.arange(-RADIUS, RADIUS + 1, dtype=plane.dtype, device=plane.device)
    bell = torch.exp(-place ** 2 / (2 * SIGMA ** 2))
    bell = bell / bell.sum()
    return tuple(separable(product, bell, bell) for product in (down * down, right * right, down * right))


def separable(plane: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """[B, H, W] filtered down the columns and along the rows; beyond the rim the last value goes on."""
    rims = (len(along_x) // 2,) * 2 + (len(along_y) // 2,) * 2
    padded = F.pad(plane[:, None], rims, mode="replicate")[:, 0]
    return _filtered(_filtered(padded, along_y, 1), along_x, 2)


def _filtered(plane: Tensor, taps: Tensor, dim: int) -> Tensor:
    """The sum of shifted planes: in half the time of torch's convolution of float64."""
    first, *others = (plane.narrow(dim, place, plane.shape[dim] - len(taps) + 1) for place in range(len(taps)))
    total = first * taps[0]
    for part, tap in zip(others, taps[1:].tolist(), strict=True):
        total.add_(part, alpha=tap)
    return total
