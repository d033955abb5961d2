"""Bins, thresholds and steps of the picture statistics, the same for every form of them, and counting into bins."""
import torch
from torch import Tensor

LIGHTNESS_BINS, CHROMA_BINS, HUES, ORIENTATIONS, LEVELS, TILE = 64, 32, 24, 24, 16, 16
CHROMA = 0.4
FINE, HUE_REACH = 1 << 11, 700  # steps of a and b in one, for directions in whole numbers; sRGB reaches 660 of them
LEAST_CHROMA = 41 ** 2          # 0.02 in those steps: what is greyer has no hue
LEAST_GRADIENT = 32 ** 2        # of the Sobel filter, whose gain is 8: four levels a pixel
SUMS = 15


def count(codes: Tensor, length: int) -> Tensor:
    """How often each code occurs: uint8 or int64 [B, ...], 0 <= code < length -> int64 [B, length].

    uint8 codes count twice as fast as int64 ones."""
    return torch.stack([torch.bincount(one, minlength=length) for one in codes.flatten(1)])
