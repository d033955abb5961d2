"""Makes the host's inference code differentiable while training, and puts everything back afterwards.

The host's models add residuals in place, call fused rotary kernels that have no backward, may attend with kernels
that have none, and hold weights that were created in inference mode. See torch.overrides.TorchFunctionMode.
"""
import functools
import inspect
import re
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import comfy.model_management
import torch
from comfy.cli_args import args as launched
from comfy.ldm.modules.attention import attention_pytorch
from torch.overrides import TorchFunctionMode

QUANTISED = ("quantization", "awq", "svdquant", "convrot_w4a4", "w4a8_int8")    # modules of comfy_kitchen
OPERATORS = {"__iadd__": torch.Tensor.add, "__isub__": torch.Tensor.sub, "__imul__": torch.Tensor.mul,
             "__itruediv__": torch.Tensor.div, "__ipow__": torch.Tensor.pow}


class DifferentiableHost(TorchFunctionMode):
    """While gradients are on: `a += b` makes a new tensor, fused operations run as plain torch, and weights created in
    inference mode, which autograd refuses to save, enter as copies."""

    def __init__(self, residuals: bool = True, recomputes: bool = False):
        """residuals=False leaves `a += b` alone, for a reference that keeps private copies of what autograd saves.
        recomputes: this is a block's second run, in which what `a.add_(b)` changes gets memory of its own.

        has_acted: whether something came that had to be done in another way."""
        super().__init__()
        self.residuals, self.recomputes, self.has_acted = residuals, recomputes, False
        self.plain = plain_forms()

    def __enter__(self):
        _operators.enter(self)
        return super().__enter__()

    def __exit__(self, *error):
        _operators.leave()
        return super().__exit__(*error)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if func in self.plain:
            func, self.has_acted = self.plain[func], True
        elif self.recomputes and args and _writes(func, kwargs):
            _give_own_memory(args[0])
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and value.is_inference():
                self.has_acted = True
                args, kwargs = _normal_beside_gradients(args, kwargs)
                break
        return func(*args, **kwargs)


def _writes(func, kwargs) -> bool:
    """Whether a call changes its first argument: `a.add_(b)`, `a[i] = b`, `silu(a, inplace=True)`."""
    name = getattr(func, "__name__", "")
    return name.endswith("_") and not name.endswith("__") or name == "__setitem__" or kwargs.get("inplace") is True


def _give_own_memory(tensor) -> None:
    """What is written into a tensor next leaves alone what autograd kept of it for a block that runs again: that was
    detached, so nothing else would notice. A view keeps its memory, which others must see change."""
    if isinstance(tensor, torch.Tensor) and not (tensor._is_view() or tensor.is_inference()):
        tensor.data = tensor.detach().clone()


class _Operators:
    """The operators `a += b` of torch.Tensor, which make new tensors in threads where a DifferentiableHost is on.

    A mode cannot tell `a += b` from `a.add_(b)`, whose result nobody may look at; the class can."""

    def __init__(self):
        self.lock, self.users, self.thread = threading.Lock(), 0, threading.local()
        self.before = {}

    def enter(self, mode: DifferentiableHost) -> None:
        self.thread.modes = [*getattr(self.thread, "modes", ()), mode]
        with self.lock:
            self.users += 1
            if self.users == 1:
                self.before = {name: vars(torch.Tensor).get(name) for name in OPERATORS}
                for name, plain in OPERATORS.items():
                    setattr(torch.Tensor, name, self._written(getattr(torch.Tensor, name), plain))

    def leave(self) -> None:
        self.thread.modes = self.thread.modes[:-1]
        with self.lock:
            self.users -= 1
            if not self.users:
                for name, own in self.before.items():
                    delattr(torch.Tensor, name) if own is None else setattr(torch.Tensor, name, own)

    def _written(self, in_place, plain):
        @functools.wraps(in_place)
        def operator(tensor, other):
            modes = getattr(self.thread, "modes", None)
            if not modes or not modes[-1].residuals or not torch.is_grad_enabled():
                return in_place(tensor, other)
            modes[-1].has_acted = True
            return plain(tensor, other)
        return operator


_operators = _Operators()


@functools.cache
def plain_forms() -> dict:
    """{fused operation: comfy_kitchen's own plain-torch form of it}, where both take the same arguments; operations on
    quantised weights are left out, for frozen layers run those without a gradient."""
    import comfy_kitchen.backends.eager as eager
    fused, found = torch.ops.comfy_kitchen, {}
    for name, form in vars(eager).items():
        if callable(form) and hasattr(fused, name) and form.__module__.rpartition(".")[2] not in QUANTISED:
            operation = getattr(fused, name)
            taken = [argument.name for argument in operation.default._schema.arguments]
            if taken == [*inspect.signature(form).parameters]:
                found[operation] = form
    return found


def _normal_beside_gradients(args, kwargs):
    """The arguments, with copies of what was created in inference mode where one of them has a gradient."""
    if not any(isinstance(a, torch.Tensor) and a.requires_grad for a in (*args, *kwargs.values())):
        return args, kwargs
    return [_normal(a) for a in args], {key: _normal(a) for key, a in kwargs.items()}


def _normal(value):
    return value.clone() if isinstance(value, torch.Tensor) and value.is_inference() else value


def attend_with_sdpa(func, *args, **kwargs):
    """For transformer_options["optimized_attention_override"]: sage and flash attention have no backward."""
    return attention_pytorch(*args, **kwargs)


@contextmanager
def gradients_wanted():
    """Turns on the host's own training branches, and off its compiling of blocks, where it has that: what autograd
    keeps outlives the memory of a compiled block. Undone on exit."""
    before, compiles = comfy.model_management.in_training, hasattr(launched, "disable_comfy_compiler")
    without = getattr(launched, "disable_comfy_compiler", None)
    comfy.model_management.in_training = True
    if compiles:
        launched.disable_comfy_compiler = True
    try:
        yield
    finally:
        comfy.model_management.in_training = before
        if compiles:
            launched.disable_comfy_compiler = without


@contextmanager
def training_mode(patcher):
    """gradients_wanted() with `patcher` marked as running."""
    patcher.pre_run()
    try:
        with gradients_wanted():
            yield
    finally:
        patcher.cleanup()


@contextmanager
def private_copies():
    """Autograd keeps copies, which nothing can write into; gives an object whose `bytes` says how much they are."""
    saved = SimpleNamespace(bytes=0)

    def keep(tensor):
        saved.bytes += tensor.numel() * tensor.element_size()
        return tensor.clone()

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield saved


def operation_without_gradient(error: BaseException) -> str:
    """The name of the fused operation that a backward stopped at, "" where it was something else."""
    found = re.search(r"backward through ([\w.]+?)(\.default)? but no autograd formula", str(error))
    return found[1] if found else ""
