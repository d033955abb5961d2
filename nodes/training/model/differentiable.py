"""Makes the host's inference code differentiable while training, and puts everything back afterwards.

The host's models add residuals in place, call fused rotary kernels that have no backward, may attend with kernels
that have none, and hold weights that were created in inference mode. See torch.overrides.TorchFunctionMode.
"""
import functools
import sys
from contextlib import contextmanager

import comfy.model_management
import torch
from comfy.ldm.modules.attention import attention_pytorch
from torch.overrides import TorchFunctionMode

from .augmented import is_augmented_assignment

OUT_OF_PLACE = {
    torch.Tensor.add_: torch.Tensor.add,
    torch.Tensor.sub_: torch.Tensor.sub,
    torch.Tensor.mul_: torch.Tensor.mul,
    torch.Tensor.div_: torch.Tensor.div,
}
FUSED = ("apply_rope", "apply_rope1", "apply_rope_split_half", "apply_rope_split_half1",
         "rms_rope", "rms_rope1", "rms_rope_split_half", "rms_rope_split_half1")


class DifferentiableHost(TorchFunctionMode):
    """While gradients are on: `a += b` makes a new tensor, fused rotary ops run as plain torch, and weights created
    in inference mode, which autograd refuses to save, enter as copies."""

    def __init__(self, residuals: bool = True):
        """residuals=False leaves `a += b` alone, for a reference that keeps private copies of what autograd saves.

        has_acted: whether something came that had to be done in another way."""
        super().__init__()
        self.residuals, self.has_acted = residuals, False
        self.plain = plain_forms()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        if func in OUT_OF_PLACE:
            if self.residuals and is_augmented_assignment(sys._getframe(1)):
                func, self.has_acted = OUT_OF_PLACE[func], True
        elif func in self.plain:
            func, self.has_acted = self.plain[func], True
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and value.is_inference():
                self.has_acted = True
                args, kwargs = _normal_beside_gradients(args, kwargs)
                break
        return func(*args, **kwargs)


@functools.cache
def plain_forms() -> dict:
    """{fused rotary op: comfy_kitchen's own plain-torch form of it}."""
    import comfy_kitchen.backends.eager.rope as eager
    return {getattr(torch.ops.comfy_kitchen, name): getattr(eager, name) for name in FUSED if hasattr(eager, name)}


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
def training_mode(patcher):
    """Turns on the host's own training branches and marks `patcher` as running; undone on exit."""
    before = comfy.model_management.in_training
    patcher.pre_run()
    comfy.model_management.in_training = True
    try:
        yield
    finally:
        comfy.model_management.in_training = before
        patcher.cleanup()
