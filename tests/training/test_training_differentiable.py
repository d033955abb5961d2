"""The mode that makes inference code differentiable, one habit of the host at a time."""
import operator

import comfy_kitchen
import pytest
import torch


@pytest.mark.parametrize("augmented", [operator.iadd, operator.isub, operator.imul, operator.itruediv])
def test_calls_that_look_like_operators_still_change_their_tensor(pack, augmented):
    a = torch.ones(3, requires_grad=True) * 2
    with pack.nodes.training.model.differentiable.DifferentiableHost():
        assert augmented(a, 3) is a         # operator.iadd calls; only the written operator is replaced


def test_residuals_written_as_operators_leave_the_old_tensor_alone(pack):
    x = torch.full((3,), 2.0, requires_grad=True)
    with pack.nodes.training.model.differentiable.DifferentiableHost():
        a = b = c = d = x * 1
        a += 3
        b -= 3
        c *= 3
        d /= 4
    assert [t[0].item() for t in (a, b, c, d)] == [5, -1, 6, 0.5]


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
