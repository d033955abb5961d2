"""Movement: whether the lines of a picture run one way from place to place, and how slanted they are."""
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import resample

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


def tensor(picture) -> tuple[Tensor, Tensor, Tensor]:
    """The structure tensor: smoothed products of derivatives (down, down), (right, right), (down, right).

    Sobel derivatives and a Gaussian of 2 pixels, [B, h, w] each; scikit-image's `structure_tensor` with sigma=2 and
    mode="nearest" up to a factor.
    """
    plane = resample.longer_side(picture.grey[:, None], SIDE)[:, 0].to(picture.dtype) / 255
    return structure(plane)


def structure(plane: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The structure tensor of float [B, H, W]."""
    smooth, slope = plane.new_tensor([1, 2, 1]) / 4, plane.new_tensor([-1, 0, 1]) / 2
    down, right = separable(plane, slope, smooth), separable(plane, smooth, slope)
    place = torch.arange(-RADIUS, RADIUS + 1, dtype=plane.dtype, device=plane.device)
    bell = torch.exp(-place ** 2 / (2 * SIGMA ** 2))
    bell = bell / bell.sum()
    return tuple(separable(product, bell, bell) for product in (down * down, right * right, down * right))


def separable(plane: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """[B, H, W] filtered down the columns and along the rows; beyond the rim the last value goes on."""
    rims = (len(along_x) // 2,) * 2 + (len(along_y) // 2,) * 2
    padded = F.pad(plane[:, None], rims, mode="replicate")
    return F.conv2d(F.conv2d(padded, along_y[None, None, :, None]), along_x[None, None, None])[:, 0]
