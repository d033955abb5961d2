"""Puts adapters onto the layers of a model, and takes them off again."""
import traceback
from contextlib import contextmanager
from functools import partial
from itertools import chain

import torch
from torch.utils.checkpoint import checkpoint

from ....kernels.lora_linear import FrozenLayer
from ..model.differentiable import DifferentiableHost
from ..model.frozen import AnyLayer, frozen_base, is_conv, is_linear
from .flat import Adapters


@contextmanager
def attached(network: torch.nn.Module, adapters: Adapters, device: torch.device,
             encoders: torch.nn.Module | None = None):
    """Runs every layer of `network`, and of the text encoders when they are trained, frozen, with its adapter where it
    has one; forward methods are put back on exit.

    Layers without an adapter only need it when autograd would otherwise keep a weight the host may move away.
    """
    names = {id(adapter.layer.module): name for name, adapter in adapters.layers.items()}
    replaced = []
    for module in chain(network.modules(), encoders.modules() if encoders else ()):
        if id(module) in names:
            forward = partial(_adapted, adapters, names[id(module)], frozen_base(module))
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


def _adapted(adapters, name, base, x):
    if adapters.strength and name not in adapters.dropped:
        adapter = adapters.layers[name]
        return adapter.forward(x, base) if adapters.strength == 1 else adapter.at(x, base, adapters.strength)
    return _frozen(base, base, x)


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
        return checkpoint(partial(_on_copies, forward), *args, use_reentrant=False, preserve_rng_state=False,
                          context_fn=lambda: (DifferentiableHost(), DifferentiableHost(recomputes=True)), **kwargs)
    except BaseException as error:
        # A Cancel in here leaves torch's hooks installed for as long as the traceback keeps its frames.
        traceback.clear_frames(error.__traceback__)
        raise


def _on_copies(forward, *args, **kwargs):
    """A block that writes into what it is given must find it untouched when it runs again."""
    return forward(*map(_copied, args), **{name: _copied(value) for name, value in kwargs.items()})


def _copied(value):
    """Copies of tensors, also inside of lists and tuples; a dict is the block's to read and to write."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    return type(value)(map(_copied, value)) if type(value) in (list, tuple) else value


def _streams(module, device):
    own = list(module.parameters(recurse=False))
    return hasattr(module, "_v") or any(p.device != device for p in own)


def _restore(replaced):
    for module, forward in reversed(replaced):
        if forward is None:
            del module.forward
        else:
            module.forward = forward
