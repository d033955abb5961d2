"""Frozen layers, with and without a low-rank branch, that keep no base weight between forward and backward.

A base is any object with
    base(x) -> y                             the frozen layer, run without gradient
    base.input_gradient(g, x, shape) -> gx   its vector-Jacobian product; shape is x's, x None unless keeps_input
    base.keeps_input                         whether input_gradient needs the values of x, or only their shape
so the weight may be streamed, quantised or evicted between the two calls.
"""
import torch
import torch.nn.functional as F


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
    `down` and `up` come back in their own dtype. up @ down is never formed.
    """

    @staticmethod
    def forward(ctx, x, down, up, scale, base):
        y = base(x)
        hidden = F.linear(x.reshape(-1, x.shape[-1]), down.to(x.dtype))
        ctx.save_for_backward(x, hidden, down, up)
        ctx.scale, ctx.base = scale, base
        # In place, because autograd lets nobody change a view that a custom function returns.
        return y.add_(F.linear(hidden, up.to(x.dtype)).view(y.shape), alpha=scale)

    @staticmethod
    def backward(ctx, g):
        x, hidden, down, up = ctx.saved_tensors
        rows = g.reshape(-1, g.shape[-1]).to(x.dtype)
        g_hidden = ctx.scale * (rows @ up.to(x.dtype))
        g_up = (ctx.scale * (rows.t() @ hidden)).to(up.dtype)
        g_down = (g_hidden.t() @ x.reshape(-1, x.shape[-1])).to(down.dtype)
        g_x = None
        if ctx.needs_input_grad[0]:
            g_x = ctx.base.input_gradient(g, x, x.shape) + (g_hidden @ down.to(x.dtype)).view(x.shape)
        return g_x, g_down, g_up, None, None
