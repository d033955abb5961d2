"""Pillow's filters on 8-bit planes: the published measures depend on their rounding."""
import numpy as np
import torch
from PIL import Image
from torch import Tensor


def lanczos(planes: Tensor, height: int, width: int) -> Tensor:
    """uint8 [B, C, H, W] -> uint8 [B, C, height, width], each plane on its own."""
    return _resized(planes, height, width, Image.Resampling.LANCZOS)


def bicubic(planes: Tensor, height: int, width: int) -> Tensor:
    """uint8 [B, C, H, W] -> uint8 [B, C, height, width], each plane on its own: Pillow's default."""
    return _resized(planes, height, width, Image.Resampling.BICUBIC)


def longer_side(planes: Tensor, side: int) -> Tensor:
    """uint8 [B, C, H, W] with the longer side at `side` pixels, to the whole pixel below as the toolbox rounds."""
    height, width = planes.shape[2:]
    scale = side / max(height, width)
    return lanczos(planes, int(height * scale), int(width * scale))


def area(planes: Tensor, pixels: int) -> Tensor:
    """uint8 [B, C, H, W] with about `pixels` pixels, the shape kept."""
    height, width = planes.shape[2:]
    scale = (pixels / (height * width)) ** 0.5
    return lanczos(planes, int(height * scale), int(width * scale))


def _resized(planes: Tensor, height: int, width: int, kernel: Image.Resampling) -> Tensor:
    if planes.shape[2:] == (height, width):
        return planes
    small = [Image.fromarray(plane).resize((width, height), kernel)
             for plane in planes.flatten(0, 1).cpu().numpy()]
    return torch.from_numpy(np.stack(small)).view(*planes.shape[:2], height, width).to(planes.device)
