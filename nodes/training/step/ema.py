"""An average of the weights over the last steps, which is calmer than any single one."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ....kernels.flat_optimizer import ema_


class Average:
    """Exponential moving average of one tensor; young averages forget faster: decay at most (1 + n) / (10 + n)."""

    def __init__(self, flat: torch.Tensor, decay: float):
        self.flat, self.decay, self.mean, self.updates = flat, decay, flat.clone(), 0

    def update(self) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        ema_(self.mean, self.flat, decay)
        self.updates += 1

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The average in the place of the weights."""
        kept = self.flat.clone()
        self.flat.copy_(self.mean)
        try:
            yield
        finally:
            self.flat.copy_(kept)
