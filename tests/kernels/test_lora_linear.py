"""The frozen linear with a low-rank branch, against autograd on the plain formula in float64."""
import pytest
import torch
import torch.nn.functional as F


class Plain:
    """A base with an ordinary weight."""
    keeps_input = False

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def __call__(self, x):
        return F.linear(x, self.weight, self.bias)

    def input_gradient(self, g, x, shape):
        return g @ self.weight


class Streamed(Plain):
    """A base whose weight lives in a buffer shared with every other layer, as in low memory."""
    buffer = torch.empty(64, dtype=torch.float64)

    def load(self):
        view = self.buffer[:self.weight.numel()].view(self.weight.shape)
        # Through numpy, so that autograd's version counter does not see it, like a copy by raw pointer.
        view.numpy()[:] = self.weight.numpy()
        return view

    def __call__(self, x):
        return F.linear(x, self.load(), self.bias)

    def input_gradient(self, g, x, shape):
        return g @ self.load()


def parts(rank=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    rand = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)
    return rand(2, 5, 6), rand(rank, 6).requires_grad_(), rand(8, rank).requires_grad_(), rand(8, 6), rand(8)


def test_value_and_gradients_equal_the_formula(pack):
    x, down, up, weight, bias = parts()
    x.requires_grad_()
    y = pack.kernels.lora_linear.LoraLinear.apply(x, down, up, 0.7, Plain(weight, bias))
    expected = F.linear(x, weight, bias) + 0.7 * x @ down.t() @ up.t()
    assert torch.allclose(y, expected, atol=1e-12)
    g = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    exact = torch.autograd.grad(expected, (x, down, up), g)
    for ours, theirs in zip(torch.autograd.grad(y, (x, down, up), g), exact, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_an_input_without_gradient_still_trains_the_branch(pack):
    x, down, up, weight, bias = parts()
    y = pack.kernels.lora_linear.LoraLinear.apply(x, down, up, 1.0, Plain(weight, bias))
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(y.sum(), (down, up)))


def test_half_precision_activations_give_fp32_gradients(pack):
    x, down, up, weight, bias = parts(dtype=torch.float32)
    base = Plain(weight.bfloat16(), bias.bfloat16())
    y = pack.kernels.lora_linear.LoraLinear.apply(x.bfloat16(), down, up, 1.0, base)
    assert y.dtype == torch.bfloat16
    expected = torch.autograd.grad((F.linear(x, weight, bias) + x @ down.t() @ up.t()).sum(), (down, up))
    for ours, exact in zip(torch.autograd.grad(y.float().sum(), (down, up)), expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("with_branch", [True, False])
def test_weights_in_a_shared_buffer_do_not_disturb_the_backward(pack, with_branch):
    kernels = pack.kernels.lora_linear
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(6, 6, dtype=torch.float64, generator=generator) for _ in range(4)]
    down, up = (torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in ((2, 6), (6, 2)))
    x = torch.randn(3, 6, dtype=torch.float64, generator=generator, requires_grad=True)

    def ours(x, weight):
        base = Streamed(weight, None)
        return kernels.LoraLinear.apply(x, down, up, 1.0, base) if with_branch else kernels.FrozenLayer.apply(x, base)

    def plain(x, weight):
        return F.linear(x, weight) + (x @ down.t() @ up.t() if with_branch else 0)

    def gradient(layer):
        y = x
        for weight in weights:
            y = torch.tanh(layer(y, weight))
        return torch.autograd.grad(y.square().sum(), x)[0]

    assert torch.allclose(gradient(ours), gradient(plain), atol=1e-12)
