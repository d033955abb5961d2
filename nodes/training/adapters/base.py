"""What every algorithm offers for one layer."""
from collections.abc import Mapping
from typing import ClassVar

import torch

from ....kernels.lora_linear import FrozenLayer
from ..model.frozen import FrozenWeight

Tensors = dict[str, torch.Tensor]


class Adapter:
    """The trainable part of one frozen layer.

    scale: what a change is multiplied by, alpha / rank unless the algorithm says otherwise. origin: what `trained` is a
    change of, where the start is drawn and neither zero nor trained (PiSSA). Every formula is written in
    fp32 masters and computes in the activations' dtype.
    """

    host_name: ClassVar[str]
    """What the host calls the algorithm."""
    late: ClassVar[tuple[str, ...]] = ()
    """Trainables that start at zero and may learn faster (LoRA+)."""
    takes_rank_dropout: ClassVar[bool] = False
    takes_alpha: ClassVar[bool] = True

    def __init__(self, layer: FrozenWeight, rank: int, alpha: float, settings):
        self.layer, self.rank, self.alpha, self.settings = layer, rank, alpha, settings
        self.scale = alpha / rank
        self.trained: Tensors = {}
        self.origin: Tensors | None = None
        self.kept_ranks: torch.Tensor | None = None

    def start(self, generator: torch.Generator) -> Tensors:
        """Start values of the trainables by name, fp32; the layer's output must not change."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor, base) -> torch.Tensor:
        """The layer's output with the adapter; base: the frozen layer (see kernels.lora_linear)."""
        raise NotImplementedError

    def at(self, x: torch.Tensor, base, strength: float) -> torch.Tensor:
        """The layer's output at another strength, as the host's loaders mean it: W + strength * (W' - W)."""
        return strength * self.forward(x, base) + (1 - strength) * FrozenLayer.apply(x, base)

    def file(self) -> Tensors:
        """The tensors of a LoRA file, by the end of their names, as the host's loader multiplies them."""
        raise NotImplementedError

    def take(self, weights: tuple) -> Tensors:
        """Values of the trainables from an adapter that the host loaded. Raises ValueError when they do not fit."""
        raise NotImplementedError

    def change(self) -> torch.Tensor:
        """The change of the weight [out, in, ...], fp32 on the adapter's device."""
        raise NotImplementedError


def fitting(values: Mapping[str, torch.Tensor | None], wanted: Mapping[str, torch.Tensor]) -> Tensors:
    """The values, reshaped to what is wanted. Raises ValueError for a value that is missing or of another size."""
    for name, tensor in wanted.items():
        value = values.get(name)
        if value is None or value.numel() != tensor.numel() or value.shape[0] != tensor.shape[0]:
            got = "nothing" if value is None else "x".join(map(str, value.shape))
            raise ValueError(f"expected {name} of {'x'.join(map(str, tensor.shape))}, got {got}")
    return {name: values[name].float().reshape(tensor.shape) for name, tensor in wanted.items()}
