"""Fixed numbers on a device. Bringing them there waits for the device, so each table is brought once."""
from functools import lru_cache

import torch
from torch import Tensor


def constant(values: tuple | float, like: Tensor) -> Tensor:
    """`values`, a number or tuples of numbers, in the dtype and on the device of `like`. Must not be written into."""
    return _made(values, like.dtype, like.device)


@lru_cache(maxsize=1024)
def _made(values, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):       # autograd keeps no tensor of inference mode
        return torch.tensor(values, dtype=dtype, device=device)
