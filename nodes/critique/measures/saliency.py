"""What catches the eye first, and where it lies: spectral residual saliency.

Hou & Zhang 2007, doi 10.1109/CVPR.2007.383267, with the choices of OpenCV's `StaticSaliencySpectralResidual`.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 64
PEAK_SHARE = 0.05
POWER_POINTS = ((1 / 3, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1 / 3), (2 / 3, 2 / 3))
NEAR = 1 / 12


def saliency_entropy(picture) -> Tensor:
    """How widely attention is spread: entropy of saliency over 64 x 64 places as a share of its maximum, 0 .. 1."""
    share = picture.once(shares).flatten(1)
    return -torch.special.xlogy(share, share).sum(1) / math.log(SIDE * SIDE)


def peak_share(picture) -> Tensor:
    """Emphasis: how much of the saliency lies in the most salient twentieth of the picture, 0.05 (even) .. 1."""
    share = picture.once(shares).flatten(1)
    return share.topk(round(PEAK_SHARE * SIDE * SIDE), dim=1).values.sum(1)


def thirds_distance(picture) -> Tensor:
    """Distance from the centre of saliency to the nearest crossing of the thirds, in sides: 0 .. 0.47; middle 0.24.

    After Datta et al. 2006, doi 10.1007/11744078_23, and Mai et al. 2011, doi 10.1109/ISM.2011.23.
    """
    centre = centroid(picture.once(shares))
    points = centre.new_tensor(POWER_POINTS)
    return (centre[:, None] - points).norm(dim=2).amin(1)


def power_point_share(picture) -> Tensor:
    """How much of the saliency lies within a twelfth of the sides of the crossings of the thirds: 0 .. 1; even 0.11."""
    share = picture.once(shares)
    place = (torch.arange(SIDE, dtype=share.dtype, device=share.device) + 0.5) / SIDE
    near = sum((place - third).abs() <= NEAR for third in (1 / 3, 2 / 3)).to(share.dtype)
    return torch.einsum("byx,y,x->b", share, near, near)


def shares(picture) -> Tensor:
    """Saliency that sums to 1, [B, 64, 64]; even where there is none."""
    found = spectral_residual(small(picture.grey).to(picture.dtype))
    total = found.sum((1, 2), keepdim=True)
    return torch.where(total > 0, found / torch.where(total > 0, total, 1), 1 / SIDE ** 2)


def centroid(share: Tensor) -> Tensor:
    """(x, y) of the centre of [B, N, N] that sums to 1, as shares of the sides: [B, 2]."""
    place = (torch.arange(share.shape[2], dtype=share.dtype, device=share.device) + 0.5) / share.shape[2]
    return torch.stack((share.sum(1) @ place, share.sum(2) @ place), 1)


def small(grey: Tensor) -> Tensor:
    """uint8 [B, H, W] -> [B, 64, 64] by linear interpolation without smoothing, rounded, as OpenCV's `resize`."""
    planes = F.interpolate(grey[:, None].float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return planes[:, 0].round()


def spectral_residual(plane: Tensor) -> Tensor:
    """Saliency of float [B, N, N], largest 1: what the spectrum has beyond its own smooth course; 0 in a flat plane."""
    spectrum = torch.fft.fft2(plane)
    loud = spectrum.abs().clamp(min=torch.finfo(plane.dtype).eps)
    log = loud.log()[:, None]
    course = F.avg_pool2d(F.pad(log, (1, 1, 1, 1), mode="reflect"), 3, 1)
    residual = spectrum / loud * (log - course).exp()[:, 0]
    power = blurred(torch.fft.ifft2(residual).abs()) ** 2
    flat = (plane == plane[:, :1, :1]).all(2).all(1)[:, None, None]
    return torch.where(flat, 0, power / power.amax((1, 2), keepdim=True))


def blurred(plane: Tensor) -> Tensor:
    """[B, N, N] under a Gaussian of 5 x 5 pixels and sigma 8, mirrored at the rim."""
    place = torch.arange(-2, 3, dtype=plane.dtype, device=plane.device)
    bell = torch.exp(-place ** 2 / (2 * 8.0 ** 2))
    bell = bell / bell.sum()
    padded = F.pad(plane[:, None], (2, 2, 2, 2), mode="reflect")
    return F.conv2d(F.conv2d(padded, bell[None, None, :, None]), bell[None, None, None])[:, 0]
