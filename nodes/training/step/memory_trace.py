"""How much memory a step takes, found by running it without numbers.

The step is the training's own: the host's model with its adapters, forward, loss and backward, on tensors that have a
shape, a type and a device and no content (torch's FakeTensorMode, which keeps them as on the meta device). What each
operation makes is counted for as long as something refers to it.
"""
import copy
import math
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial

import torch
from comfy.quant_ops import QuantizedTensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ...lora.applying.bypass import put_back
from ..adapters import Adapters, attached, checkpointed
from ..data.dataset import outlines
from ..model.differentiable import DifferentiableHost, training_mode
from ..model.layers import repeated_blocks
from .gradient import Teacher, backward, needs_teacher

PAGES = "_v"        # what the host keeps on a layer whose weights it pages in and out by itself


class Ledger(TorchDispatchMode):
    """Bytes on one device that operations made and something still refers to, and the most there were at once."""

    def __init__(self, device: torch.device, known=()):
        """known: tensors that are there before, which do not count."""
        super().__init__()
        self.device, self.held, self.peak = torch.device(device), 0, 0
        self.storages = {}
        for tensor in known:
            self._see(tensor.untyped_storage())
        self.held = self.peak = 0
        self.known = known

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if isinstance(each, torch.Tensor) and each.device == self.device:
                self._see(each.untyped_storage())
        return out

    def _see(self, storage):
        key = storage._cdata
        if key not in self.storages:
            size = storage.nbytes()
            self.storages[key] = weakref.ref(storage, lambda _: self._release(key, size))
            self.held += size
            self.peak = max(self.peak, self.held)

    def __exit__(self, *error):
        self.storages, self.known = {}, ()      # or what was made would wait for Python's next collection
        return super().__exit__(*error)

    def _release(self, key, size):
        if self.storages.pop(key, None) is not None:
            self.held -= size


class EvenlyRouted(TorchFunctionMode):
    """Without numbers nobody knows which rows `x[expert == i]` has: as many as each of the experts gets on average.

    Whatever a router decides, the experts' rows add up to the same; only how they are spread over the experts is not
    known."""

    def __init__(self, experts: int):
        super().__init__()
        self.experts = experts

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and _is_mask(args[1]):
            share = torch.arange(math.ceil(len(args[1]) / self.experts), device=args[1].device)
            args = (args[0], share, *args[2:])
        return func(*args, **(kwargs or {}))


def _is_mask(index) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool and index.ndim == 1


@contextmanager
def _evenly_routed(network: torch.nn.Module) -> Iterator[None]:
    """The layers that choose among experts with EvenlyRouted, in a block's second run too, where no mode from outside
    is on."""
    routed = [each for each in network.modules() if isinstance(getattr(each, "experts", None), torch.nn.ModuleList)]
    before = [vars(module).get("forward") for module in routed]
    for module in routed:
        vars(module)["forward"] = partial(_within, EvenlyRouted(len(module.experts)), module.forward)
    try:
        yield
    finally:
        for module, own in zip(routed, before, strict=True):
            put_back(module, vars(module)["forward"], own)


def _within(mode, forward, *args, **kwargs):
    with mode:
        return forward(*args, **kwargs)


def step_peak(session, rows: int, checkpoint: bool) -> int:
    """Bytes on the session's device that the forward, loss and backward of `rows` pictures, as large as the largest of
    the set, add at most to what is there.

    Raises what the model's code raises where it asks for the value of a number."""
    shapes = [each.shape for each in outlines(session.dataset.samples)]
    sample = session.samples[max(range(len(session.learnt)), key=lambda i: math.prod(shapes[session.learnt[i]]))]
    batch = [sample] * rows
    generator = torch.Generator().manual_seed(0)
    noise = [session.objective.draw_noise(sample.latent, generator) for _ in batch]
    sigma = session.objective.draw_sigmas(rows, generator)
    device, model = session.denoiser.device, session.model
    with FakeTensorMode(allow_non_fake_inputs=True), ExitStack() as stack:
        adapters = _without_numbers(session.adapters)
        known = [*stack.enter_context(_weightless(model, device)), adapters.flat, adapters.flat.grad]
        ledger = stack.enter_context(Ledger(device, known))
        stack.enter_context(_training(session, adapters, checkpoint))
        taught = session.settings.recipe.loss.outside_mask or needs_teacher(sample)
        teacher = Teacher(session.denoiser, adapters) if taught else None
        backward(session.denoiser, session.objective, [session.denoiser.fresh(each) for each in batch], noise, sigma,
                 rows, 1.0, teacher)
    return ledger.peak + _unpacked(model)


@contextmanager
def _weightless(model: torch.nn.Module, device: torch.device) -> Iterator[list[torch.Tensor]]:
    """The model with weights that have no numbers; those that the host pages in count as on the device."""
    kept = [(module, dict(module._parameters), dict(module._buffers), vars(module).pop(PAGES, None))
            for module in model.modules()]
    made = []
    try:
        for module, parameters, buffers, pages in kept:
            for own, values in ((module._parameters, parameters), (module._buffers, buffers)):
                for name, value in values.items():
                    if value is not None:
                        own[name] = _hollow(value, device if pages is not None or value.is_meta else value.device)
                        made.append(own[name])
        yield made
    finally:
        for module, parameters, buffers, pages in kept:
            module._parameters.update(parameters)
            module._buffers.update(buffers)
            if pages is not None:
                setattr(module, PAGES, pages)


def _hollow(value, device):
    empty = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)
    return torch.nn.Parameter(empty, requires_grad=False) if isinstance(value, torch.nn.Parameter) else empty


def _unpacked(model) -> int:
    """Bytes of the largest quantised weight while a layer has it unpacked, which the run without numbers has not."""
    return max((weight.numel() * weight.dtype.itemsize for weight in model.parameters()
                if isinstance(weight, QuantizedTensor)), default=0)


@contextmanager
def _training(session, adapters, checkpoint) -> Iterator[None]:
    """The model as Session.training has it, with other adapters."""
    network = session.model.diffusion_model
    blocks = [block for _, block in repeated_blocks(network)]
    with training_mode(session.patcher), attached(
            network, adapters, session.denoiser.device, session.denoiser.encoders), \
            checkpointed(blocks) if checkpoint else nullcontext(), \
            DifferentiableHost() if session.rewrites or checkpoint else nullcontext(), _evenly_routed(network), \
            session.beside():
        yield


def _without_numbers(adapters: Adapters) -> Adapters:
    """The adapters in a buffer of their own, made where this is called."""
    twin = copy.copy(adapters)
    twin.layers = {name: copy.copy(adapter) for name, adapter in adapters.layers.items()}
    twin._lay_out({name: _hollow(parameter.data, parameter.device) for name, parameter in adapters.parameters.items()})
    return twin
