"""All adapters of a model in one flat fp32 buffer."""
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from ...lora.file.loading import read_patches
from ...lora.saving.export_names import host_names
from .base import Adapter, Tensors

ENCODERS = "text_encoders."


class Group(NamedTuple):
    """A slice of the flat buffer that learns at one rate. rate: its own, or None for the run's; ratio: times that."""
    part: slice
    rate: float | None
    ratio: float
    names: list[str]
    """Of the parameters in it, in order."""

    def factor(self, learning_rate: float) -> float:
        """What the rate of every step is multiplied by, where learning_rate is the run's at its peak."""
        return self.ratio * (1.0 if self.rate is None else self.rate / learning_rate)


class Adapters:
    """Adapters by the layer's name. Their trainables are views of `flat`, and the gradients views of `flat.grad`.

    parameters: {"layer/trainable": view}; groups: the slices of `flat` and their learning rates.
    """

    def __init__(self, layers: dict[str, Adapter], device, generator: torch.Generator,
                 rates: dict[str, float | None] | None = None, late_ratio: float = 1.0, rank_dropout: float = 0.0,
                 layer_dropout: float = 0.0):
        """rates: of single layers; late_ratio: of the trainables that start at zero (LoRA+); dropout: shares, 0 to 1.

        Draws the start values from the generator, layer by layer."""
        self.layers, self.rank_dropout, self.layer_dropout = layers, rank_dropout, layer_dropout
        self._rates, self._late_ratio = rates or {}, late_ratio
        self.dropped: set[str] = set()
        self.strength = 1.0
        self._lay_out({f"{name}/{key}": value.to(device) for name, adapter in layers.items()
                       for key, value in adapter.start(generator).items()})

    def _lay_out(self, values: Tensors) -> None:
        """One buffer of the values of trainables by full name."""
        self.parameters: dict[str, torch.nn.Parameter] = {}
        self.groups: list[Group] = []
        self.flat = torch.cat([torch.zeros_like(value).flatten() for value in values.values()])
        self.flat.grad = torch.zeros_like(self.flat)
        end = 0
        for (rate, ratio), names in _by_rate(self.layers, self._rates, self._late_ratio, values).items():
            begin = end
            for name in names:
                end = self._place(name, values[name], end)
            self.groups.append(Group(slice(begin, end), rate, ratio, names))
        for name, adapter in self.layers.items():
            adapter.trained = {key: p for key, p in self._of(name)}

    def layout(self) -> str:
        """The names of the parameters in the order of `flat`, a line for each group of one rate."""
        return "\n".join(" ".join(group.names) for group in self.groups)

    def origins(self) -> list[torch.Tensor]:
        """What the trainables are changes of where they are not all there is (PiSSA), in the order of the layers."""
        return [part for adapter in self.layers.values() for part in (adapter.origin or {}).values()]

    def leave_out(self, layers: Collection[str]) -> None:
        """Drops adapters that are not to be trained after all; `flat` is another buffer from here on."""
        self.layers = {name: adapter for name, adapter in self.layers.items() if name not in layers}
        self._lay_out({full: parameter.detach().clone() for full, parameter in self.parameters.items()
                       if full.rpartition("/")[0] in self.layers})

    def _place(self, name, start, begin):
        part = slice(begin, begin + start.numel())
        parameter = torch.nn.Parameter(self.flat[part].view(start.shape))
        parameter.grad = self.flat.grad[part].view(start.shape)
        parameter.data.copy_(start)
        self.parameters[name] = parameter
        return part.stop

    def _of(self, layer: str) -> Iterator[tuple[str, torch.nn.Parameter]]:
        start = f"{layer}/"
        return ((name[len(start):], p) for name, p in self.parameters.items() if name.startswith(start))

    def ranks(self) -> tuple[int, int]:
        """The smallest and the largest."""
        ranks = [adapter.rank for adapter in self.layers.values()]
        return min(ranks), max(ranks)

    def gradients(self) -> dict[str, torch.Tensor]:
        """A copy of the gradient of each layer, flat, by the layer's name."""
        return {name: torch.cat([p.grad.flatten() for p in adapter.trained.values()])
                for name, adapter in self.layers.items()}

    def tensors(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """Copies under the names every architecture of the host maps, on the CPU; alpha stays fp32."""
        with torch.no_grad():
            return {f"{native(name)}.{end}": value.detach().to("cpu", dtype if value.ndim else None, copy=True)
                    for name, adapter in self.layers.items() for end, value in adapter.file().items()}

    def load(self, tensors: dict[str, torch.Tensor], model: torch.nn.Module,
             encoders: torch.nn.Module | None = None, given_as: str = "resume") -> list[str]:
        """Takes the values of a LoRA whose names the host maps; returns the layers it says nothing about.

        Raises ValueError, which names the input `given_as`, when it has another shape or algorithm, or nothing for any
        layer."""
        loaded = read_patches(tensors, host_names(model, encoders))
        missing = []
        for name, adapter in self.layers.items():
            patch = loaded.get(f"{native(name).removeprefix(ENCODERS)}.weight")
            if patch is None:
                missing.append(name)
                continue
            self._take(name, adapter, patch, given_as)
        if len(missing) == len(self.layers):
            raise ValueError(f"{given_as}: the LoRA has nothing for the layers that are to be trained.")
        return missing

    def _take(self, name, adapter, patch, given_as):
        try:
            if getattr(patch, "name", "") != adapter.host_name:
                raise ValueError(f"expected {adapter.host_name}, got {getattr(patch, 'name', 'a plain difference')}")
            for key, value in adapter.take(patch.weights).items():
                adapter.trained[key].data.copy_(value)
        except ValueError as error:
            raise ValueError(f"{given_as}: the LoRA does not fit layer {name}: {error}.") from None

    @contextmanager
    def dropping(self, generator: torch.Generator):
        """One step's dropout: leaves out ranks, scaling up what stays, and whole layers. Draws only when asked to."""
        if not self.rank_dropout and not self.layer_dropout:
            yield
            return
        left_out = torch.rand(len(self.layers), generator=generator) < self.layer_dropout
        self.dropped = {name for name, out in zip(self.layers, left_out.tolist(), strict=True) if out}
        for adapter in self.layers.values():
            if self.rank_dropout and adapter.takes_rank_dropout:
                kept = torch.rand(adapter.rank, generator=generator) >= self.rank_dropout
                adapter.kept_ranks = (kept / (1 - self.rank_dropout)).to(self.flat.device, non_blocking=True)
        try:
            yield
        finally:
            self.dropped = set()
            for adapter in self.layers.values():
                adapter.kept_ranks = None

    @contextmanager
    def at(self, strength: float):
        """The model with its adapters at another strength; 0 is the model without them, the teacher of concepts."""
        before, self.strength = self.strength, strength
        try:
            yield
        finally:
            self.strength = before

    @torch.no_grad()
    def relative_change(self) -> dict[str, float]:
        """||change of W|| / ||W|| of each layer (Frobenius norms); fetches every weight, so not for every step."""
        device = self.flat.device
        return {name: float(adapter.change().norm() / adapter.layer.weight(device).norm().clamp(min=1e-12))
                for name, adapter in self.layers.items()}


def native(layer: str) -> str:
    """The name of a layer in a file; those of text encoders have their prefix already."""
    return layer if layer.startswith(ENCODERS) else f"diffusion_model.{layer}"


def _by_rate(layers, rates, late_ratio, starts) -> dict[tuple, list[str]]:
    groups: dict[tuple, list[str]] = {}
    for full in starts:
        layer, _, key = full.rpartition("/")
        ratio = late_ratio if key in layers[layer].late else 1.0
        groups.setdefault((rates.get(layer), ratio), []).append(full)
    return groups
