"""Frozen layers, with and without a low-rank branch, that keep no base weight between forward and backward.

A base is any object with
    base(x) -> y                             the frozen layer, run without gradient; y is a tensor of its own
    base.input_gradient(g, x, shape) -> gx   its vector-Jacobian product; shape is x's, x None unless keeps_input
    base.keeps_input                         whether input_gradient needs the values of x, or only their shape
so the weight may be streamed, quantised or evicted between the two calls.

Branches are added by matrix products that accumulate into what is there: no pass over the activations for the
product, the scaling and the sum, and the change is rounded together with the sum, not before it.
"""
import torch
import torch.nn.functional as F
from torch import Tensor


class FrozenLayer(torch.autograd.Function):
    """y = base(x), differentiable in x alone. x and y: any shape."""

    @staticmethod
    def forward(ctx, x, base):
        ctx.base, ctx.shape = base, x.shape
        if base.keeps_input:
            ctx.save_for_backward(x)
        return base(x)

    @staticmethod
    def backward(ctx, g):
        x = ctx.saved_tensors[0] if ctx.base.keeps_input else None
        return ctx.base.input_gradient(g, x, ctx.shape), None


class LoraLinear(torch.autograd.Function):
    """y = base(x) + scale * (x @ down.T) @ up.T (Hu et al. 2021, arXiv:2106.09685).

    x [..., in], down [rank, in], up [out, rank], y [..., out]. The branch computes in x's dtype; the gradients of
    `down` and `up` come back in their own dtype. Neither up @ down nor g.T @ x is ever formed (RunLoRA,
    arXiv:2312.03415).
    """

    @staticmethod
    def forward(ctx, x, down, up, scale, base):
        y = base(x)
        hidden = F.linear(_rows(x), down.to(x.dtype))
        ctx.save_for_backward(x, hidden, down, up)
        ctx.scale, ctx.base = scale, base
        return add_product(y, hidden, up.t(), scale)

    @staticmethod
    def backward(ctx, g):
        x, hidden, down, up = ctx.saved_tensors
        rows = _rows(g).to(x.dtype)
        g_hidden = _scaled(rows @ up.to(x.dtype), ctx.scale)
        g_up = _scaled((hidden.t() @ rows).t().to(up.dtype), ctx.scale)    # in half the time of rows.t() @ hidden
        g_down = (g_hidden.t() @ _rows(x)).to(down.dtype)
        g_x = None
        if ctx.needs_input_grad[0]:
            g_x = add_product(_own(ctx.base.input_gradient(g, x, x.shape), g), g_hidden, down, 1.0)
        return g_x, g_down, g_up, None, None


class LoraConv(torch.autograd.Function):
    """y = base(x) + scale * conv(conv(x, down), up): the kernel in `down`, the channels in `up`.

    x [B, in, *S], down [rank, in, *kernel], up [out, rank], y [B, out, *T]; stride, padding and dilation are the
    base's, in whole numbers a dimension; padded with zeros, one group. dtypes as in LoraLinear.
    """

    @staticmethod
    def forward(ctx, x, down, up, scale, base, stride, padding, dilation):
        y = base(x)
        ctx.geometry = stride, padding, dilation
        hidden = torch.convolution(x, down.to(x.dtype), None, stride, padding, dilation, False, [0] * len(stride), 1)
        ctx.save_for_backward(x, hidden, down, up)
        ctx.scale, ctx.base = scale, base
        return add_channels(y, hidden, up, scale)

    @staticmethod
    def backward(ctx, g):
        x, hidden, down, up = ctx.saved_tensors
        planes = g.to(x.dtype).flatten(2)
        g_up = torch.bmm(planes, hidden.flatten(2).mT).sum(0).to(up.dtype) * ctx.scale
        g_hidden = (torch.matmul(up.to(x.dtype).t(), planes) * ctx.scale).view(hidden.shape)
        stride, padding, dilation = ctx.geometry
        needs_x = ctx.needs_input_grad[0]
        g_branch, g_down, _ = torch.ops.aten.convolution_backward(
            g_hidden, x, down.to(x.dtype), None, stride, padding, dilation, False, [0] * len(stride), 1,
            [needs_x, True, False])
        g_x = ctx.base.input_gradient(g, x, x.shape) + g_branch if needs_x else None
        return g_x, g_down.to(down.dtype), g_up, None, None, None, None, None


def add_product(y: Tensor, left: Tensor, right: Tensor, scale: float) -> Tensor:
    """y + scale * left @ right, into y where it is contiguous: y [..., n], left [m, k], right [k, n], any dtypes."""
    left, right = left.to(y.dtype), right.to(y.dtype)
    # Dynamo of torch 2.11 drops the gradient of what a custom function changes in place (pytorch#180642).
    if torch.compiler.is_compiling():
        return torch.addmm(_rows(y), left, right, alpha=scale).view(y.shape)
    y = y.contiguous()
    y.view(-1, y.shape[-1]).addmm_(left, right, alpha=scale)
    return y  # itself, because autograd lets nobody change a view that a custom function returns


def add_channels(y: Tensor, hidden: Tensor, up: Tensor, scale: float) -> Tensor:
    """y + scale * up applied over the channels, into y: y [B, out, *T], hidden [B, rank, *T], up [out, rank]."""
    hidden, up = hidden.to(y.dtype).flatten(2), up.to(y.dtype).expand(len(y), *up.shape)
    if torch.compiler.is_compiling():
        return torch.baddbmm(y.flatten(2), up, hidden, alpha=scale).view(y.shape)
    if y.flatten(2).data_ptr() != y.data_ptr():
        y = y.contiguous()
    y.flatten(2).baddbmm_(up, hidden, alpha=scale)
    return y


def _scaled(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else x * scale


def _rows(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _own(gradient: Tensor, g: Tensor) -> Tensor:
    """A gradient that may be changed: a layer that only passes its input on returns the very tensor it got."""
    same = not torch.compiler.is_compiling() and gradient.untyped_storage()._cdata == g.untyped_storage()._cdata
    return gradient.clone() if same else gradient
