"""What a painter or an editor would try: one small change of a picture, by how much, and how to say it."""
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


class Edit(NamedTuple):
    """`apply` changes uint8 sRGB [B, 3, H, W] by an amount up to `most`; `say` puts the amount in words."""
    family: str
    apply: Callable[[Tensor, float], Tensor]
    most: float
    say: Callable[[float], str]


def crop(rgb: Tensor, amount: float, left=0, top=0, right=0, bottom=0) -> Tensor:
    """The picture without `amount` of its width or height at the sides marked 1."""
    height, width = rgb.shape[2:]
    x, y = round(amount * width), round(amount * height)
    return rgb[..., top * y:height - bottom * y, left * x:width - right * x]


def curve(rgb: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Every channel through a curve of 0..1."""
    levels = torch.arange(256, dtype=torch.float64, device=rgb.device) / 255
    return (function(levels).clamp(0, 1) * 255).round().to(torch.uint8)[rgb.long()]


def saturate(rgb: Tensor, factor: float) -> Tensor:
    """Every colour `factor` times as far from the grey of the same luma."""
    colour = rgb.float()
    grey = (colour * colour.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    return torch.lerp(grey.expand_as(colour), colour, factor).clamp(0, 255).round().to(torch.uint8)


def turn_hue(rgb: Tensor, degrees: float) -> Tensor:
    """Every hue turned around the grey axis of the RGB cube by `degrees`, red towards yellow."""
    turn = math.radians(degrees)
    even, odd = (1 - math.cos(turn)) / 3, math.sin(turn) / math.sqrt(3)
    a, b, c = even + math.cos(turn), even - odd, even + odd
    matrix = torch.tensor(((a, b, c), (c, a, b), (b, c, a)), dtype=torch.float32, device=rgb.device)
    return torch.einsum("ij,bjhw->bihw", matrix, rgb.float()).clamp(0, 255).round().to(torch.uint8)


def _percent(words: str) -> Callable[[float], str]:
    return lambda amount: words.format(f"{100 * amount:.0f} %")


EDITS = (
    *(Edit("crop", lambda rgb, amount, side=side: crop(rgb, amount, **{side: 1}), 0.35,
           _percent(f"crop {{}} off the {side}")) for side in ("left", "right", "top", "bottom")),
    Edit("crop", lambda rgb, amount: crop(rgb, amount, 1, 1, 1, 1), 0.25, _percent("crop {} off every side")),
    Edit("value curve", lambda rgb, amount: curve(rgb, lambda x: x ** (1 / (1 + amount))), 1.0,
         lambda amount: f"lighten the middle values (gamma {1 + amount:.2f})"),
    Edit("value curve", lambda rgb, amount: curve(rgb, lambda x: x ** (1 + amount)), 1.0,
         lambda amount: f"darken the middle values (gamma {1 / (1 + amount):.2f})"),
    Edit("value curve", lambda rgb, amount: curve(rgb, lambda x: x + amount * 2 * x * (1 - x) * (2 * x - 1)), 0.5,
         _percent("steepen the value curve by {}")),
    Edit("value curve", lambda rgb, amount: curve(rgb, lambda x: 0.5 + (x - 0.5) * (1 - amount)), 0.8,
         _percent("flatten the value curve by {}")),
    Edit("saturation", lambda rgb, amount: saturate(rgb, 1 + amount), 1.5, _percent("raise the saturation by {}")),
    Edit("saturation", lambda rgb, amount: saturate(rgb, 1 - amount), 1.0, _percent("lower the saturation by {}")),
    Edit("hue", turn_hue, 60, lambda amount: f"turn the hues by {amount:.0f} degrees, red towards yellow"),
    Edit("hue", lambda rgb, amount: turn_hue(rgb, -amount), 60,
         lambda amount: f"turn the hues by {amount:.0f} degrees, red towards violet"),
)
