"""Colour spaces of float pictures with gradients that are finite everywhere: sRGB [B, 3, H, W], 0..1."""
import math

import torch
from torch import Tensor

from ....kernels.constants import constant
from ..picture.colour_spaces import WHITE_D65, XYZ_FROM_RGB

LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)
SMALL = 1e-6


def root(values: Tensor) -> Tensor:
    """Square root whose slope at 0 is finite, and 0 there."""
    return (values + SMALL * SMALL).sqrt() - SMALL


def spread(plane: Tensor) -> Tensor:
    """Standard deviation of [B, H, W], [B]."""
    return root(((plane - plane.mean((1, 2), keepdim=True)) ** 2).mean((1, 2)))


def grey(image: Tensor) -> Tensor:
    """Luma of ITU-R 601, [B, H, W], 0..255, not rounded."""
    return torch.einsum("bchw,c->bhw", image, constant(LUMA, image)) * 255


def lab(image: Tensor) -> Tensor:
    """CIE L*a*b* under D65, [B, 3, H, W]."""
    bright = ((image.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    linear = torch.where(image > 0.04045, bright, image / 12.92)
    xyz = torch.einsum("ij,bjhw->bihw", constant(XYZ_FROM_RGB, image), linear)
    xyz = xyz / constant(WHITE_D65, image)[:, None, None]
    x, y, z = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), 1)


def hue_and_saturation(image: Tensor) -> tuple[Tensor, Tensor]:
    """Hue as a share of the circle and HSV saturation, [B, H, W] each.

    The hue is the angle in the plane across the grey axis: within 1.1 degrees of HSV's, but smooth. Grey has hue 0.
    """
    r, g, b = image.unbind(1)
    across, along = math.sqrt(3) * (g - b), 2 * r - g - b
    colourless = across ** 2 + along ** 2 < SMALL * SMALL
    hue = torch.atan2(torch.where(colourless, 0, across), torch.where(colourless, 1, along)) / (2 * math.pi) % 1
    most, least = image.amax(1), image.amin(1)
    return hue, (most - least) / (most + SMALL)


def chroma_vector(lab_image: Tensor) -> tuple[Tensor, Tensor]:
    """CIE chroma and the cosine of the hue angle from 50 degrees, [B, H, W] each."""
    a, b = lab_image[:, 1], lab_image[:, 2]
    chroma = (a * a + b * b + SMALL).sqrt()
    return chroma, (a * math.cos(math.radians(50)) + b * math.sin(math.radians(50))) / chroma
