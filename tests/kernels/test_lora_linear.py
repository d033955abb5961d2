"""Frozen layers with a low-rank branch, against autograd on the plain formula in float64."""
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


class Conv(Plain):
    """A convolution with an ordinary weight."""

    def __init__(self, weight, bias, geometry):
        super().__init__(weight, bias)
        self.geometry = geometry

    def __call__(self, x):
        return torch.convolution(x, self.weight, self.bias, *self.geometry, False, [0] * len(self.geometry[0]), 1)

    def input_gradient(self, g, x, shape):
        pull = (torch.nn.grad.conv1d_input, torch.nn.grad.conv2d_input, torch.nn.grad.conv3d_input)[len(shape) - 3]
        return pull(shape, self.weight, g, *self.geometry)


GEOMETRIES = [((1,), (1,), (1,)), ((1, 1), (1, 1), (1, 1)), ((2, 1), (0, 2), (1, 2)), ((1, 1, 1), (0, 1, 1), (1, 1, 1))]


def conv_parts(geometry, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    rand = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)
    dims = len(geometry[0])
    x, down, up = rand(2, 3, *[6] * dims), rand(2, 3, *[3] * dims), rand(4, 2)
    parts = [part.requires_grad_() for part in (x, down, up)]
    return *parts, Conv(rand(4, 3, *[3] * dims), rand(4), geometry)


def conv_formula(x, down, up, scale, base):
    hidden = torch.convolution(x, down, None, *base.geometry, False, [0] * len(base.geometry[0]), 1)
    return base(x) + scale * torch.einsum("or,br...->bo...", up, hidden)


def assert_same_gradients(ours, expected, inputs, atol=1e-12):
    assert torch.allclose(ours, expected, atol=atol)
    g = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(1))
    exact = torch.autograd.grad(expected, inputs, g)
    for mine, right in zip(torch.autograd.grad(ours, inputs, g), exact, strict=True):
        assert right.any() and torch.allclose(mine, right, atol=atol)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_convolution_with_a_branch_equals_the_formula(pack, geometry):
    x, down, up, base = conv_parts(geometry)
    ours = pack.kernels.lora_linear.LoraConv.apply(x, down, up, 0.7, base, *geometry)
    assert_same_gradients(ours, conv_formula(x, down, up, 0.7, base), (x, down, up))


def test_a_convolution_whose_channels_lie_last_equals_the_formula(pack):
    x, down, up, base = conv_parts(GEOMETRIES[1])
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    ours = pack.kernels.lora_linear.LoraConv.apply(last, down, up, 0.7, base, *GEOMETRIES[1])
    assert_same_gradients(ours, conv_formula(last, down, up, 0.7, base), (last, down, up))


def test_gradients_pass_the_finite_differences_of_double_precision(pack):
    kernels = pack.kernels.lora_linear
    x, down, up, weight, bias = parts()
    x.requires_grad_()
    linear = Plain(weight, bias)
    assert torch.autograd.gradcheck(lambda *p: kernels.LoraLinear.apply(*p, 0.7, linear), (x, down, up))
    assert torch.autograd.gradcheck(lambda x: kernels.FrozenLayer.apply(x, linear), (x,))
    x, down, up, conv = conv_parts(GEOMETRIES[2])
    assert torch.autograd.gradcheck(lambda *p: kernels.LoraConv.apply(*p, 0.7, conv, *GEOMETRIES[2]), (x, down, up))


class Passing:
    """A base that hands its input and its gradient on, as an identity layer does."""
    keeps_input = False

    def __call__(self, x):
        return x.clone()

    def input_gradient(self, g, x, shape):
        return g


def test_a_base_that_hands_the_gradient_on_does_not_have_it_changed(pack):
    x, down, up = torch.randn(3, 6), torch.randn(2, 6), torch.randn(6, 2)
    y = pack.kernels.lora_linear.LoraLinear.apply(x.requires_grad_(), down.requires_grad_(), up, 1.0, Passing())
    g = torch.ones(3, 6)
    gradient = torch.autograd.grad(y, x, g)[0]
    assert (g == 1).all() and torch.allclose(gradient, g + g @ up @ down, atol=1e-6)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_compiled_code_has_the_same_gradients(pack, kind, backend):
    kernels = pack.kernels.lora_linear
    torch._dynamo.reset()
    if kind == "linear":
        x, down, up, weight, bias = parts()
        x.requires_grad_()
        base = Plain(weight, bias)
        layer = lambda x, down, up: kernels.LoraLinear.apply(torch.tanh(x), down, up, 0.7, base).relu()
        exact = lambda x, down, up: (base(torch.tanh(x)) + 0.7 * torch.tanh(x) @ down.t() @ up.t()).relu()
    else:
        x, down, up, base = conv_parts(GEOMETRIES[2])
        layer = lambda x, down, up: kernels.LoraConv.apply(torch.tanh(x), down, up, 0.7, base, *GEOMETRIES[2]).relu()
        exact = lambda x, down, up: conv_formula(torch.tanh(x), down, up, 0.7, base).relu()
    ours = torch.compile(layer, backend=backend)(x, down, up)
    assert_same_gradients(ours, exact(x, down, up), (x, down, up), 1e-10)


def test_the_branch_is_added_without_another_tensor_of_the_outputs_size(pack):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Sizes(TorchDispatchMode):
        made = []

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.numel() == 64 * 32:
                self.made.append(out.untyped_storage().data_ptr())
            return out

    x, down, up, weight = torch.randn(64, 16), torch.randn(2, 16), torch.randn(32, 2), torch.randn(32, 16)
    with Sizes() as sizes:
        pack.kernels.lora_linear.LoraLinear.apply(x, down.requires_grad_(), up, 0.5, Plain(weight, None))
    assert len(set(sizes.made)) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_errors_stay_within_what_the_dtype_and_the_sums_allow(pack, dtype):
    x, down, up, weight, _ = (part.detach() for part in parts(rank=4, dtype=torch.float64))
    x, weight = x.to(dtype), weight.to(dtype)
    y = pack.kernels.lora_linear.LoraLinear.apply(x, down.float(), up.float(), 0.7, Plain(weight, None)).double()
    exact = F.linear(x.double(), weight.double()) + 0.7 * x.double() @ down.t() @ up.t()
    size = F.linear(x.double().abs(), weight.double().abs()) + 0.7 * x.double().abs() @ down.abs().t() @ up.abs().t()
    # Roundings of: the base's output, hidden, both factors, the sum; then fp32 sums of up to ten terms.
    assert ((y - exact).abs() <= (2.5 * torch.finfo(dtype).eps + 10 * 2 ** -24) * size).all()
