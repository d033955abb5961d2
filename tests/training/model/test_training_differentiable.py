"""The mode that makes inference code differentiable, one habit of the host at a time."""
import operator
from concurrent.futures import ThreadPoolExecutor

import comfy.model_management
import comfy_kitchen
import pytest
import torch

OPERATORS = ("__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__")


def test_the_operators_of_torch_are_put_back_and_other_threads_keep_theirs(pack):
    before = [vars(torch.Tensor).get(name) for name in OPERATORS]
    kinds = pack.nodes.training.model.differentiable.DifferentiableHost
    with ThreadPoolExecutor(1) as other, kinds(), kinds():
        a = torch.ones(3, requires_grad=True) * 2
        assert other.submit(operator.iadd, a, 3).result() is a
        assert operator.iadd(a, 3) is not a
    assert [vars(torch.Tensor).get(name) for name in OPERATORS] == before
    assert operator.iadd(a, 3) is a


def test_residuals_written_as_operators_leave_the_old_tensor_alone(pack):
    x = torch.full((3,), 2.0, requires_grad=True)
    with pack.nodes.training.model.differentiable.DifferentiableHost():
        a = b = c = d = e = x * 1
        a += 3
        b -= 3
        c *= 3
        d /= 4
        e **= 2
    assert [t[0].item() for t in (a, b, c, d, e)] == [5, -1, 6, 0.5, 4]


def test_method_calls_change_their_tensor_in_place(pack):
    a = torch.ones(3, requires_grad=True) * 2
    with pack.nodes.training.model.differentiable.DifferentiableHost():
        assert a.add_(3) is a
        assert a.mul_(3) is a


def test_nothing_is_replaced_without_gradients(pack):
    a = before = torch.ones(3)
    with pack.nodes.training.model.differentiable.DifferentiableHost(), torch.no_grad():
        a += 1
    assert a is before


def test_weights_made_in_inference_mode_can_be_multiplied_with(pack):
    with torch.inference_mode():
        weight = torch.full((3,), 4.0)
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
        x * weight
    with pack.nodes.training.model.differentiable.DifferentiableHost():
        (x * weight).sum().backward()
    assert torch.equal(x.grad, torch.full((3,), 4.0))


@pytest.mark.parametrize("name", ["rms_rope", "rms_rope_split_half", "apply_rope", "apply_rope_split_half"])
def test_fused_rotary_embeddings_get_a_gradient_and_keep_their_value(pack, name):
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 2, 4, 8, generator=generator, requires_grad=True) for _ in range(2))
    angle = torch.rand(1, 1, 4, 4, generator=generator)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(1, 1, 4, 4, 2, 2)
    scales = (torch.ones(8), torch.ones(8)) if name.startswith("rms") else ()
    fused = getattr(comfy_kitchen, name)
    with pack.nodes.training.model.differentiable.DifferentiableHost():
        out = fused(q, k, turn, *scales)
    with torch.no_grad():
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(out, fused(q, k, turn, *scales), strict=True))
    gradients = torch.autograd.grad(sum(t.square().sum() * w for t, w in zip(out, (1, 2), strict=True)), (q, k))
    assert all(g.isfinite().all() for g in gradients)
    if name.startswith("apply"):                    # a rotation keeps lengths: d |R q|^2 = 2 q
        assert torch.allclose(gradients[0], 2 * q, atol=1e-5)
        assert torch.allclose(gradients[1], 4 * k, atol=1e-5)


class Writing(torch.nn.Module):
    """Keeps what it is given for the backward, then writes into it, as LTX-2's blocks do; all inputs in a tuple."""

    def forward(self, pair, scale):
        a, b = pair
        kept = a * a
        a.addcmul_(kept, scale)
        a[:1] = a[:1] * 2
        torch.nn.functional.silu(a.mul_(b), inplace=True)
        return a, b + a


def test_a_block_that_writes_into_its_inputs_has_the_gradient_of_one_that_does_not(pack):
    t, block = pack.nodes.training, Writing()
    x, scale = torch.randn(4, generator=torch.Generator().manual_seed(0)), torch.full((4,), 0.5, requires_grad=True)

    def loss(again):
        own = x.clone().requires_grad_()
        a, b = own * 1, own * 3
        for _ in range(2):
            a, b = block((a, b) if again else (a.clone(), b.clone()), scale)
        return torch.autograd.grad((a * b).sum(), (own, scale))

    with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda tensor: tensor):
        expected = loss(again=False)
    with t.adapters.checkpointed([block]), t.model.differentiable.DifferentiableHost():
        got = loss(again=True)
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(got, expected, strict=True))


def test_a_write_into_a_view_is_seen_by_what_it_is_a_view_of(pack):
    a = torch.ones(4, requires_grad=True) * 2
    with pack.nodes.training.model.differentiable.DifferentiableHost(recomputes=True):
        a[:2].add_(3)
    assert a.tolist() == [5, 5, 2, 2]


@pytest.mark.parametrize("before", [True, False])
def test_a_host_that_compiles_blocks_does_not_while_gradients_are_wanted(pack, monkeypatch, before):
    from comfy.cli_args import args
    monkeypatch.setattr(args, "disable_comfy_compiler", before, raising=False)
    with pytest.raises(KeyError), pack.nodes.training.model.differentiable.gradients_wanted():
        assert args.disable_comfy_compiler is True and comfy.model_management.in_training
        raise KeyError
    assert args.disable_comfy_compiler is before and not comfy.model_management.in_training


def test_a_host_that_does_not_compile_gets_no_new_switch(pack):
    from comfy.cli_args import args
    with pack.nodes.training.model.differentiable.gradients_wanted():
        assert not hasattr(args, "disable_comfy_compiler")


@pytest.mark.parametrize("name", ["adaln", "rms_adaln"])
def test_fused_modulation_gets_a_gradient_and_keeps_its_value(pack, name):
    x, scale, shift = torch.randn(3, 2, 4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with torch.no_grad():
        expected = getattr(comfy_kitchen, name)(x, scale, shift)
    with pack.nodes.training.model.differentiable.DifferentiableHost():
        out = getattr(comfy_kitchen, name)(x, scale, shift)
    assert torch.allclose(out, expected, atol=1e-6)
    assert torch.allclose(torch.autograd.grad(out.sum(), shift)[0], torch.ones_like(shift))


def test_an_exception_in_a_recomputed_block_leaves_no_hook_behind(pack):
    adapters = pack.nodes.training.adapters

    class Stops(torch.nn.Module):
        def forward(self, x):
            raise KeyboardInterrupt

    x = torch.ones(3, requires_grad=True)
    with pytest.raises(KeyboardInterrupt) as held, adapters.checkpointed([block := Stops()]):
        block(x)
    assert held.value.__traceback__ is not None         # alive, as it is while the host reports it
    assert torch.overrides._get_current_function_mode_stack() == []
    y = (x * 2).square().sum()
    assert torch.equal(torch.autograd.grad(y, x)[0], torch.full((3,), 8.0))
