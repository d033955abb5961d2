"""A frozen layer beside a branch whose weight is built from small factors, in the forward and again in the backward."""
import torch
import torch.nn.functional as F

CONV = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


class LinearProduct:
    """x [..., in] times weight [out, in]."""

    def __call__(self, x, weight):
        return F.linear(x, weight)

    def pull(self, g, x, weight):
        """The gradients of x and of the weight."""
        rows = g.reshape(-1, g.shape[-1])
        return g @ weight, rows.t() @ x.reshape(-1, x.shape[-1])


class ConvProduct:
    """x [B, in, ...] convolved with weight [out, in, *kernel], one group, zero padding."""

    def __init__(self, stride, padding, dilation):
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def __call__(self, x, weight):
        return CONV[weight.ndim](x, weight, None, self.stride, self.padding, self.dilation)

    def pull(self, g, x, weight):
        x, weight = x.detach().requires_grad_(True), weight.detach().requires_grad_(True)
        with torch.enable_grad():
            y = self(x, weight)
        return torch.autograd.grad(y, (x, weight), g)


class WeightBranch(torch.autograd.Function):
    """y = base(x) + product(x, build(*factors)).

    base: see lora_linear; build returns the branch's weight in any dtype, which computes in x's. The backward builds it
    again instead of keeping it, so memory grows with the factors alone.
    """

    @staticmethod
    def forward(ctx, x, base, product, build, *factors):
        ctx.base, ctx.product, ctx.build = base, product, build
        ctx.save_for_backward(x, *factors)
        return base(x) + product(x, build(*factors).to(x.dtype))

    @staticmethod
    def backward(ctx, g):
        x, *factors = ctx.saved_tensors
        factors = [factor.detach().requires_grad_(True) for factor in factors]
        with torch.enable_grad():
            weight = ctx.build(*factors)
        g_x, g_weight = ctx.product.pull(g.to(x.dtype), x, weight.detach().to(x.dtype))
        g_factors = torch.autograd.grad(weight, factors, g_weight.to(weight.dtype))
        if ctx.needs_input_grad[0]:
            g_x = g_x + ctx.base.input_gradient(g, x, x.shape)
        return g_x if ctx.needs_input_grad[0] else None, None, None, None, *g_factors
