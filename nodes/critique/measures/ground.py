"""How few colours a picture is made of: what tells a sign, a drawing or a thing cut out from a painting."""
import torch
import torch.nn.functional as F
from torch import Tensor

GROUND_LEVELS = 8  # of 256 a channel: a ground is what lies within two such steps
COLOUR_LEVELS, COLOURS = 16, 8


def ground_share(picture) -> Tensor:
    """The share of the pixels of the most common colour, give or take 8 of 255 levels, 0 .. 1 (one colour)."""
    return torch.stack([F.avg_pool3d(_cube(own, GROUND_LEVELS), 2, 1, divisor_override=1).max() / own.places.numel()
                        for own in picture.palettes])


def few_colours(picture) -> Tensor:
    """The share of the pixels of the eight most common colours, counted in steps of 16 levels, 0 .. 1."""
    return torch.stack([_cube(own, COLOUR_LEVELS).flatten().topk(COLOURS).values.sum() / own.places.numel()
                        for own in picture.palettes])


def _cube(own, levels: int) -> Tensor:
    """How many pixels have each colour, in steps of `levels`: [1, N, N, N]."""
    side = 256 // levels
    r, g, b = own.colours.T.long() // levels
    return own.sums((r * side + g) * side + b, side ** 3).to(own.dtype).view(1, side, side, side)
