"""The statistics of `kernels.image_statistics` as one would write them: each by the operations its definition names."""
import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from ..oklab import LAB, LMS


def eager_statistics(rgb: Tensor) -> list[Tensor]:
    """uint8 sRGB [1, 3, H, W] -> the same statistics, in single precision and without sharing work between them."""
    luma = torch.tensor([0.299, 0.587, 0.114], device=rgb.device)[:, None, None]
    grey = (rgb.float() * luma).sum(1).round().long()
    return [*_colour(rgb), *_order(rgb), *_pairs(grey // 16), _local_entropy(grey // 16), _orientation(grey),
            *((grey - grey.flip(dim)).abs().sum((1, 2)) for dim in (2, 1))]


def _colour(rgb):
    c = rgb.movedim(1, -1).float() / 255
    linear = torch.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    lab = (linear @ c.new_tensor(LMS).t()) ** (1 / 3) @ c.new_tensor(LAB).t()
    light, a, b = lab.unbind(-1)
    flat = lab.flatten(1, 2)
    centred = flat - flat.mean(1, keepdim=True)
    deviation = centred.square().mean(1).sqrt()
    moments = [flat.mean(1), centred.mT @ centred / flat.shape[1],
               *((centred ** power).mean(1) / deviation ** power for power in (3, 4))]
    hue = (torch.atan2(b, a) / (2 * math.pi) * 24).round().long() % 24
    return [*moments, _histogram(light, 0, 1, 64), _histogram(a, -0.4, 0.4, 32), _histogram(b, -0.4, 0.4, 32),
            torch.bincount(hue[torch.hypot(a, b) >= 0.02], minlength=24)]


def _histogram(plane, low, high, bins):
    codes = ((plane - low) / (high - low) * bins).long().clamp(0, bins - 1)
    return torch.bincount(codes.flatten(), minlength=bins)


def _order(rgb):
    p = rgb.int().sum(1)
    windows = torch.stack([p[:, :-1, :-1], p[:, :-1, 1:], p[:, 1:, :-1], p[:, 1:, 1:]], -1)
    a, b, c, d = torch.argsort(windows, dim=-1, stable=True).unbind(-1)
    return [torch.bincount((64 * a + 16 * b + 4 * c + d).flatten(), minlength=256)]


def _pairs(level):
    height, width = level.shape[1:]
    for y, x in ((0, 1), (1, 0), (1, 1), (1, -1)):
        first = level[:, :height - y, max(0, -x):width - max(0, x)]
        second = level[:, y:, max(0, x):width + min(0, x)]
        yield torch.bincount((first * 16 + second).flatten(), minlength=256)


def _local_entropy(level):
    tiles = level.unfold(1, 16, 16).unfold(2, 16, 16).flatten(3)
    counts = torch.zeros(*tiles.shape[:3], 16, device=level.device)
    share = counts.scatter_add_(3, tiles, torch.ones_like(tiles, dtype=torch.float32)) / 256
    return -torch.special.xlogy(share, share).sum(-1) / math.log(2)


def _orientation(grey):
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=grey.device)
    x, y = conv2d(grey[:, None].float(), torch.stack((sobel, sobel.t()))[:, None]).unbind(1)
    direction = (torch.atan2(y, x) / math.pi * 24).round().long() % 24
    return torch.bincount(direction[torch.hypot(x, y) >= 32], minlength=24)
