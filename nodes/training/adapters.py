"""LoRA adapters on a model's Linear layers: one flat fp32 buffer, attached as bypass branches."""
import traceback
from contextlib import contextmanager
from functools import partial

import torch
from torch.utils.checkpoint import checkpoint

from ...kernels.lora_linear import FrozenLayer, LoraLinear
from .differentiable import DifferentiableHost
from .frozen import AnyLayer, frozen_base, is_conv, is_linear


class LoraAdapters:
    """down [rank, in] and up [out, rank] per layer, views of `flat`; their gradients are views of `flat.grad`.

    `up` starts at zero, `down` uniform in +-1/sqrt(in) (kaiming_uniform_ with a = sqrt(5), as in Hu et al. 2021).
    """

    def __init__(self, layers: dict[str, torch.nn.Module], rank: int, alpha: float, device, generator):
        self.layers, self.rank, self.alpha, self.scale = layers, rank, alpha, alpha / rank
        size = sum(rank * (m.in_features + m.out_features) for m in layers.values())
        self.flat = torch.zeros(size, device=device)
        self.flat.grad = torch.zeros_like(self.flat)
        self.down, self.up, self.up_parts = {}, {}, []
        self._end = 0
        for name, module in layers.items():
            self.down[name] = self._parameter(rank, module.in_features)
            self.up[name] = self._parameter(module.out_features, rank)
            self.up_parts.append(slice(self._end - rank * module.out_features, self._end))
            start = torch.rand(rank, module.in_features, generator=generator) * 2 - 1
            self.down[name].data.copy_(start / module.in_features ** 0.5)

    def _parameter(self, rows, columns):
        part = slice(self._end, self._end + rows * columns)
        self._end = part.stop
        parameter = torch.nn.Parameter(self.flat[part].view(rows, columns))
        parameter.grad = self.flat.grad[part].view(rows, columns)
        return parameter

    def tensors(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """Copies under the names every architecture of the host maps: lora_up, lora_down and alpha of each layer."""
        out = {}
        for name in self.layers:
            key = f"diffusion_model.{name}"
            out[f"{key}.lora_up.weight"] = self.up[name].detach().to("cpu", dtype, copy=True)
            out[f"{key}.lora_down.weight"] = self.down[name].detach().to("cpu", dtype, copy=True)
            out[f"{key}.alpha"] = torch.tensor(float(self.alpha))
        return out


@contextmanager
def attached(network: torch.nn.Module, adapters: LoraAdapters, device: torch.device):
    """Runs every layer of `network` frozen, with its adapter where it has one; forward methods are put back on exit.

    Layers without an adapter only need it when autograd would otherwise keep a weight the host may move away.
    """
    names = {id(module): name for name, module in adapters.layers.items()}
    replaced = []
    for module in network.modules():
        if id(module) in names:
            name = names[id(module)]
            forward = partial(_adapted, adapters.down[name], adapters.up[name], adapters.scale, frozen_base(module))
        elif is_linear(module) or is_conv(module) or _streams(module, device):
            forward = partial(_frozen, module.forward, frozen_base(module))
        else:
            continue
        replaced.append((module, vars(module).get("forward")))
        module.forward = forward
    try:
        yield
    finally:
        _restore(replaced)


@contextmanager
def checkpointed(blocks: list[torch.nn.Module]):
    """Keeps only the inputs of each block and runs it again in the backward (Chen et al. 2016, arXiv:1604.06174)."""
    replaced = []
    for block in blocks:
        replaced.append((block, vars(block).get("forward")))
        block.forward = partial(_checkpointed, block.forward)
    try:
        yield
    finally:
        _restore(replaced)


def _adapted(down, up, scale, base, x):
    return LoraLinear.apply(x, down, up, scale, base)


def _frozen(forward, base, x, *args, **kwargs):
    if not (torch.is_grad_enabled() and x.requires_grad):
        return forward(x, *args, **kwargs)
    if args or kwargs:
        base = AnyLayer(lambda x: forward(x, *args, **kwargs))
    return FrozenLayer.apply(x, base)


def _checkpointed(forward, *args, **kwargs):
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    try:
        # Recomputing bypasses autograd's check for tensors changed in place, so the mode must be on in both runs.
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False,
                          context_fn=lambda: (DifferentiableHost(), DifferentiableHost()), **kwargs)
    except BaseException as error:
        # A Cancel in here leaves torch's hooks installed for as long as the traceback keeps its frames.
        traceback.clear_frames(error.__traceback__)
        raise


def _streams(module, device):
    own = list(module.parameters(recurse=False))
    return hasattr(module, "_v") or any(p.device != device for p in own)


def _restore(replaced):
    for module, forward in reversed(replaced):
        if forward is None:
            del module.forward
        else:
            module.forward = forward
