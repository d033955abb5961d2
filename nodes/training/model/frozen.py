"""The host's frozen layers as bases for kernels.lora_linear: the weight is fetched again for the backward.

Autograd would keep the weight itself, which may live in a buffer the host reuses for the next layer.
"""
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.ops
import torch
from comfy.quant_ops import QuantizedTensor

CONV_INPUT_GRADIENT = {
    torch.nn.Conv1d: torch.nn.grad.conv1d_input,
    torch.nn.Conv2d: torch.nn.grad.conv2d_input,
    torch.nn.Conv3d: torch.nn.grad.conv3d_input,
}


@contextmanager
def fetched(module: torch.nn.Module, device, dtype: torch.dtype) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Weight and bias as the host's forward would fetch them, dequantised; they may be gone afterwards."""
    weight, bias, *handle = comfy.ops.cast_bias_weight(
        module, dtype=dtype, device=device, bias_dtype=dtype, offloadable=True)
    try:
        yield (weight.dequantize() if isinstance(weight, QuantizedTensor) else weight), bias
    finally:
        comfy.ops.uncast_bias_weight(module, weight, bias, *handle)


class _HostLayer:
    keeps_input = False

    def __init__(self, module):
        self.module, self.forward = module, module.forward

    def __call__(self, x):
        return self.forward(x)

    def input_gradient(self, g, x, shape):
        if _is_plain(self.module, g):
            return self.pull(g, self.module.weight, shape)
        with fetched(self.module, g.device, g.dtype) as (weight, _):
            return self.pull(g, weight, shape)


class HostLinear(_HostLayer):
    """A Linear of comfy.ops; quantised weights are dequantised for the backward."""

    def pull(self, g, weight, shape):
        return g @ weight


class HostConv(_HostLayer):
    """A convolution of comfy.ops with zero padding."""

    def pull(self, g, weight, shape):
        m = self.module
        pull = next(f for kind, f in CONV_INPUT_GRADIENT.items() if isinstance(m, kind))
        return pull(shape, weight, g, m.stride, m.padding, m.dilation, m.groups)


class AnyLayer:
    """A layer the pack knows nothing about: the backward runs its forward again on a detached input."""
    keeps_input = True

    def __init__(self, forward):
        self.forward = forward

    def __call__(self, x):
        return self.forward(x)

    def input_gradient(self, g, x, shape):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            y = self.forward(x)
        return torch.autograd.grad(y, x, g)[0]


def is_linear(module: torch.nn.Module) -> bool:
    """True for Linear layers, the host's quantised ones included, which are not torch.nn.Linear."""
    return hasattr(module, "in_features") and hasattr(module, "out_features")


def is_conv(module: torch.nn.Module) -> bool:
    return isinstance(module, tuple(CONV_INPUT_GRADIENT))


def frozen_base(module: torch.nn.Module):
    """The cheapest exact base for a layer: the host's own weight where the host's own code runs it."""
    if _runs_host_code(module) and is_linear(module):
        return HostLinear(module)
    if _runs_host_code(module) and is_conv(module) and module.padding_mode == "zeros":
        return HostConv(module)
    return AnyLayer(module.forward)


def _runs_host_code(module):
    """False when another pack replaced the layer (GGUF and the like) or a bypass LoRA sits on it."""
    return (
        "forward" not in vars(module)
        and getattr(module, "pre_quant_scale", None) is None
        and type(module).forward.__module__ == "comfy.ops"
        and type(module).forward_comfy_cast_weights.__module__ == "comfy.ops"
    )


def _is_plain(module, like):
    """Whether the host's own forward uses the weight as it lies there, which spares fetching it."""
    weight = module.weight
    return (not (module.comfy_cast_weights or module.weight_function) and type(weight) is torch.nn.Parameter
            and weight.dtype == like.dtype and weight.device == like.device)


class FrozenWeight:
    """The weight of a layer as its forward uses it, the user's patches included; fetched anew at every call."""

    def __init__(self, module: torch.nn.Module):
        self.module, self.is_conv = module, is_conv(module)
        # As they are now: while it trains, the module's forward is the adapter's.
        self.runs_host_code, self.forward = _runs_host_code(module), module.forward
        if self.is_conv:
            self.shape = (module.out_channels, module.in_channels, *module.kernel_size)
            self.conv = {key: tuple(getattr(module, key)) for key in ("stride", "padding", "dilation")}
        else:
            self.shape = (module.out_features, module.in_features)

    @torch.no_grad()
    def weight(self, device, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """[out, in, *kernel]. An opaque linear layer is asked for it by the unit vectors."""
        if self.runs_host_code:
            with fetched(self.module, device, dtype) as (weight, _):
                return weight.to(dtype, copy=True)
        units = torch.eye(self.shape[1], device=device)
        return (self.forward(units) - self.forward(torch.zeros_like(units[:1]))).t().to(dtype)

    @torch.no_grad()
    def columns_of(self, rows: torch.Tensor) -> torch.Tensor:
        """rows [r, out] times the weight [out, in * kernel], in the dtype of rows, without a copy of the weight."""
        if not self.runs_host_code:
            return rows @ self.weight(rows.device, rows.dtype).flatten(1)
        with fetched(self.module, rows.device, rows.dtype) as (weight, _):
            return rows @ weight.to(rows.dtype).flatten(1)

    @torch.no_grad()
    def bias(self, like: torch.Tensor) -> torch.Tensor | None:
        """[out] in the dtype and on the device of `like`; None where there is none."""
        if self.runs_host_code:
            if self.module.bias is None:
                return None
            with fetched(self.module, like.device, like.dtype) as (_, bias):
                return bias.clone()
        return self.forward(like.new_zeros(1, self.shape[1]))[0]


def takes_adapter(module: torch.nn.Module) -> bool:
    """Linear layers, and convolutions whose own code the host runs, with so many zeros of padding and one group."""
    if is_conv(module):
        plain = module.padding_mode == "zeros" and not isinstance(module.padding, str) and module.groups == 1
        return plain and _runs_host_code(module)
    return is_linear(module)
