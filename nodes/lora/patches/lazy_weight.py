"""A weight of a model of which the shape is known and the numbers are read only when they are asked for.

Another pack may hold it in bytes that the host cannot read; most changes do not depend on them.
"""
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import comfy.utils
import torch
from torch import Tensor

from ..model.unsupported_models import is_readable
from .energy import backed_up, model_weight, readable_weight


class LazyWeight(NamedTuple):
    """Called, it gives the weight, or raises or gives None as `read` does where the host cannot unpack it."""
    shape: tuple[int, ...]
    readable: bool
    read: Callable[[], Tensor]

    def __call__(self) -> Tensor:
        return self.read()

    def rows(self, offset: tuple[int, int, int] | None, function: Callable[[Tensor], Tensor] | None) -> "LazyWeight":
        """The slice of it at offset, reordered by function."""
        def read() -> Tensor:
            rows = self.read().narrow(*offset) if offset else self.read()
            return function(rows) if function else rows
        return LazyWeight(sliced(self.shape, offset), self.readable, read)


def sliced(shape: tuple[int, ...], offset: tuple[int, int, int] | None) -> tuple[int, ...]:
    """The shape of the slice (dimension, start, length) of a tensor."""
    return (*shape[:offset[0]], offset[2], *shape[offset[0] + 1:]) if offset else tuple(shape)


def own_lazily(patcher, target: str | tuple) -> LazyWeight:
    """`readable_weight` of a ModelPatcher, read late."""
    key, offset = (target, None) if isinstance(target, str) else target[:2]
    kept = backed_up(patcher, key)
    tensor = comfy.utils.get_attr(patcher.model, key) if kept is None else kept
    return LazyWeight(sliced(tensor.shape, offset), is_readable(tensor), partial(readable_weight, patcher, target))


def of_module_lazily(module: torch.nn.Module, target: str | tuple) -> LazyWeight:
    """`model_weight`, read late."""
    key, offset = (target, None) if isinstance(target, str) else target[:2]
    tensor = comfy.utils.get_attr(module, key)
    return LazyWeight(sliced(tensor.shape, offset), is_readable(tensor), partial(model_weight, module, target))


def shape_of(weight: Callable[[], Tensor]) -> tuple[int, ...]:
    """The shape of what a function gives, without a call where it is known."""
    return weight.shape if isinstance(weight, LazyWeight) else tuple(weight().shape)
