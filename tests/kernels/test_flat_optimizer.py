"""One buffer for many parameters: the same steps as one optimiser for each of them, and as the formula."""
import math

import pytest
import torch

SHAPES = {"down": (4, 10), "up": (7, 4), "bias": (3,)}


@pytest.fixture(scope="module")
def flat(pack):
    return pack.kernels.flat_optimizer


def loss(parameters):
    return sum((p - index - 1).square().sum() for index, p in enumerate(parameters))


def fill(buffer, generator):
    for parameter in buffer.parameters.values():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))


def made(flat, **options):
    buffer = flat.FlatBuffer(SHAPES)
    fill(buffer, torch.Generator().manual_seed(0))
    return buffer, flat.FlatAdamW(buffer.values, **options)


def test_parameters_and_gradients_are_views_that_do_not_overlap(flat):
    buffer, _ = made(flat)
    loss(buffer.parameters.values()).backward()
    for name, parameter in buffer.parameters.items():
        assert torch.equal(buffer.values[buffer.parts[name]].view(parameter.shape), parameter.data)
        assert torch.equal(buffer.values.grad[buffer.parts[name]].view(parameter.shape), parameter.grad)
        assert parameter.data_ptr() % 64 == buffer.values.data_ptr() % 64
    assert (buffer.values.grad != 0).sum() == sum(math.prod(shape) for shape in SHAPES.values())


def test_steps_equal_those_of_an_optimiser_that_holds_the_parameters_one_by_one(flat):
    buffer, ours = made(flat, betas=(0.8, 0.95), weight_decay=0.1)
    single = [torch.nn.Parameter(p.detach().clone()) for p in buffer.parameters.values()]
    theirs = torch.optim.AdamW(single, betas=(0.8, 0.95), weight_decay=0.1)
    for number in range(5):
        loss(buffer.parameters.values()).backward()
        ours.set_rate(0.01 * (number + 1))
        ours.step(clip=1.5)
        theirs.zero_grad()
        loss(single).backward()
        torch.nn.utils.clip_grad_norm_(single, 1.5)
        theirs.param_groups[0]["lr"] = 0.01 * (number + 1)
        theirs.step()
    for mine, other in zip(buffer.parameters.values(), single, strict=True):
        assert torch.allclose(mine, other, atol=1e-6)
    assert not buffer.values.grad.any()


def test_the_first_step_is_the_formula(flat):
    buffer, optimizer = made(flat, weight_decay=0.5)
    before = buffer.values.double()
    loss(buffer.parameters.values()).backward()
    sign = buffer.values.grad.double().sign()
    optimizer.set_rate(0.1)
    optimizer.step()
    assert torch.allclose(buffer.values.double(), before * (1 - 0.1 * 0.5) - 0.1 * sign, atol=1e-6)


def test_groups_have_rates_and_options_of_their_own(flat):
    buffer = flat.FlatBuffer(SHAPES)
    buffer.values.fill_(1.0)
    groups = [(buffer.parts["down"], {"rate": 1.0}), (buffer.parts["up"], {"rate": 16.0, "weight_decay": 0.0})]
    optimizer = flat.FlatAdamW(buffer.values, weight_decay=0.5, groups=groups)
    optimizer.set_rate(0.01)
    buffer.values.grad.fill_(1.0)
    optimizer.step()
    assert torch.allclose(buffer.parameters["down"].data, torch.tensor(1 - 0.005 - 0.01))
    assert torch.allclose(buffer.parameters["up"].data, torch.tensor(1 - 0.16))
    assert (buffer.parameters["bias"] == 1).all()


def test_making_an_optimiser_changes_nothing_and_keeps_a_gradient(flat):
    buffer = flat.FlatBuffer(SHAPES)
    fill(buffer, torch.Generator().manual_seed(0))
    loss(buffer.parameters.values()).backward()
    values, gradient = buffer.values.clone(), buffer.values.grad.clone()
    flat.FlatAdamW(buffer.values)
    assert torch.equal(buffer.values, values) and torch.equal(buffer.values.grad, gradient)


def test_going_back_to_a_kept_state_repeats_the_very_same_steps(flat):
    buffer, optimizer = made(flat)
    optimizer.set_rate(0.1)

    def walk():
        for _ in range(3):
            loss(buffer.parameters.values()).backward()
            optimizer.step(1.0)
        return buffer.values.clone()

    walk()
    kept = [tensor.clone() for tensor in optimizer.state()]
    first = walk()
    flat.restore_(optimizer.state(), kept)
    assert torch.equal(walk(), first)


@pytest.mark.parametrize("limit", [0.5, 2.0, 100.0, math.inf])
def test_clipping_keeps_the_direction_and_returns_the_norm_before(flat, limit):
    gradient = torch.tensor([3.0, -4.0])
    assert flat.clip_(gradient, limit) == 5.0
    assert torch.allclose(gradient, torch.tensor([3.0, -4.0]) * min(1, limit / 5))


def test_clipping_a_zero_gradient_leaves_it_and_a_broken_one_says_so(flat):
    zero = torch.zeros(3)
    assert flat.clip_(zero, 1.0) == 0 and not zero.any()
    assert flat.clip_(torch.tensor([1.0, math.nan]), 1.0).isnan()


def test_an_average_follows_its_formula(flat):
    average, values = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0])
    assert torch.allclose(flat.ema_(average, values, 0.75), torch.tensor([1.5, 1.0]))


def test_a_capture_without_a_cuda_device_is_refused(flat):
    with pytest.raises(ValueError, match="captured: expected every tensor on one CUDA device, got cpu"):
        flat.captured(lambda x: x, [torch.zeros(2)], [torch.zeros(2)])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures a CUDA graph")
def test_a_captured_step_takes_the_same_steps_as_a_plain_one(flat):
    results = []
    for capture in (False, True):
        buffer = flat.FlatBuffer(SHAPES, device="cuda")
        fill(buffer, torch.Generator().manual_seed(0))
        optimizer = flat.FlatAdamW(buffer.values)

        def step(target, buffer=buffer, optimizer=optimizer):
            value = sum((p - target).square().sum() for p in buffer.parameters.values())
            value.backward()
            optimizer.step(1.0)
            return value.detach()

        run = flat.captured(step, [torch.zeros((), device="cuda")], optimizer.state()) if capture else step
        for number in range(4):
            optimizer.set_rate(0.1 / (number + 1))
            run(torch.tensor(float(number), device="cuda"))
        results.append(buffer.values.cpu())
    assert torch.allclose(*results, atol=1e-6)
