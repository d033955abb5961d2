"""Several LoRAs as one adapter, through every way the host patches weights, against float64 and the host itself."""
from types import SimpleNamespace

import pytest
import torch
from lora_models import small_model

FORMATS = [torch.float32, torch.float16, torch.bfloat16]


@pytest.fixture
def rank_stack(pack):
    return pack.nodes.lora.patches.rank_stack


def lora(out, inner, rank, seed, alpha=None, dtype=torch.float16, kernel=()):
    from comfy.weight_adapter import LoRAAdapter
    generator = torch.Generator().manual_seed(seed)
    up = torch.randn(out, rank, *(1 for _ in kernel), generator=generator) * 0.1
    down = torch.randn(rank, inner, *kernel, generator=generator) * 0.1
    return LoRAAdapter({f"up{seed}", f"down{seed}"}, (up.to(dtype), down.to(dtype), alpha, None, None, None))


def four(out=48, inner=40, **kwargs):
    return [(lora(out, inner, rank, seed, alpha, **kwargs), strength) for seed, (rank, alpha, strength)
            in enumerate([(4, None, 0.8), (8, 2.0, -1.3), (1, 1.0, 0.25), (16, 16.0, 1.0)])]


def exact(weight, adapters, strength=1.0):
    """(W + sum of the LoRAs, what the sizes of its terms allow as relative error) in float64."""
    value, size = weight.double(), weight.double().abs()
    for adapter, own in adapters:
        up, down, alpha = adapter.weights[:3]
        scale = strength * own * (1.0 if alpha is None else alpha / down.shape[0])
        up, down = up.double().flatten(1), down.double().flatten(1)
        value = value + scale * (up @ down).view(weight.shape)
        size = size + abs(scale) * (up.abs() @ down.abs()).view(weight.shape)
    return value, size


def patched(weight, patches, **kwargs):
    import comfy.lora
    return comfy.lora.calculate_weight(patches, weight.clone(), "key", **kwargs)


def patch(adapter, strength=1.0, offset=None, function=None):
    return (strength, adapter, 1.0, offset, function)


def assert_close(found, weight, adapters, strength=1.0):
    value, size = exact(weight, adapters, strength)
    one_rounding, sum_of_32_terms = torch.finfo(found.dtype).eps, 2 ** -19
    assert ((found.double() - value).abs() <= (one_rounding + sum_of_32_terms) * size).all()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("strength", [1.0, -0.7])
def test_four_loras_in_one_product_are_within_rounding_of_float64_and_nearer_than_the_core(rank_stack, dtype, strength):
    adapters = four()
    weight = torch.randn(48, 40, generator=torch.Generator().manual_seed(9)).to(dtype)
    found = patched(weight, [patch(rank_stack.combine(adapters), strength)])
    assert_close(found, weight, adapters, strength)
    core = patched(weight, [patch(adapter, strength * own) for adapter, own in adapters])
    value = exact(weight, adapters, strength)[0]
    assert (found.double() - value).square().mean() <= 1.05 * (core.double() - value).square().mean()
    assert not torch.equal(found, weight)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (3, 3, 3)])
def test_kernels_of_convolutions_are_flattened(rank_stack, kernel):
    adapters = four(12, 6, kernel=kernel)
    weight = torch.randn(12, 6, *kernel)
    assert_close(patched(weight, [patch(rank_stack.combine(adapters))]), weight, adapters)


@pytest.mark.parametrize("offset", [(0, 8, 48), (1, 3, 40)])
def test_a_slice_of_a_fused_weight_changes_and_the_rest_does_not(rank_stack, offset):
    weight, adapters = torch.randn(64, 80), four(48, 40)
    weight = weight.narrow(1 - offset[0], 0, (48, 40)[1 - offset[0]]).contiguous()
    found = patched(weight, [patch(rank_stack.combine(adapters), offset=offset)])
    assert_close(found.narrow(*offset), weight.narrow(*offset), adapters)
    changed = (found != weight)
    changed.narrow(*offset).fill_(False)
    assert not changed.any()


def test_a_strided_kernel_is_written_back(rank_stack):
    weight, adapters = torch.randn(12, 10, 3, 3), four(12, 6, kernel=(3, 3))
    found = patched(weight, [patch(rank_stack.combine(adapters), offset=(1, 2, 6))])
    assert_close(found.narrow(1, 2, 6), weight.narrow(1, 2, 6), adapters)


def test_the_function_that_the_host_has_for_some_weights_is_applied_to_the_change(rank_stack):
    weight, adapters = torch.randn(48, 40), four()
    swap = lambda change: torch.cat(change.chunk(2)[::-1])
    found = patched(weight, [patch(rank_stack.combine(adapters), function=swap)])
    expected = weight.double() + swap(exact(torch.zeros(48, 40), adapters)[0])
    assert torch.allclose(found.double(), expected, atol=1e-5)


def test_alphas_far_below_the_range_of_half_precision_still_count(rank_stack):
    weight, adapters = torch.zeros(48, 40, dtype=torch.float16), [(lora(48, 40, 4, 0, alpha=1e-4), 1.0)]
    adapters[0][0].weights[0].mul_(100)
    value, size = exact(weight, adapters)
    found = patched(weight, [patch(rank_stack.combine(adapters))]).double()
    assert ((found - value).abs() <= 2 ** -10 * size + 2 ** -25).all()
    assert (found != 0).float().mean() > 0.9


def test_the_prefetch_of_dynamic_loading_keeps_the_effect(rank_stack):
    import comfy.lora
    from comfy.model_patcher import LowVramPatch
    adapters = four()
    weight, stack = torch.randn(48, 40, dtype=torch.bfloat16), rank_stack.combine(adapters)
    low = LowVramPatch("key", {"key": [patch(stack, 0.5)]})
    expected = low(weight.clone())
    assert_close(expected, weight, adapters, 0.5)
    size = low.memory_required()
    assert size >= sum(part.nbytes for part in stack.weights[:3])
    buffer = torch.empty(size, dtype=torch.uint8)
    low.prepare(buffer, None)
    inside = low.prepared_patches[0][1]
    assert type(inside) is rank_stack.RankStack
    assert inside.weights[0].untyped_storage().data_ptr() == buffer.untyped_storage().data_ptr()
    assert torch.equal(low(weight.clone()), expected)
    rebuilt = comfy.lora.prefetch_prepared_value(stack, [0], None, None, False)
    assert torch.equal(patched(weight, [patch(rebuilt, 0.5)]), expected)


def test_a_loaded_model_gets_the_weights_that_separate_loras_give(rank_stack):
    model = small_model("Flux.1")
    stacked, separate = model.clone(), model.clone()
    key = next(k for k, w in stacked.model.state_dict().items() if k.endswith("qkv.weight"))
    shape = stacked.model.state_dict()[key].shape
    adapters = four(*shape)
    stacked.add_patches({key: rank_stack.combine(adapters)}, 1.0)
    for adapter, strength in adapters:
        separate.add_patches({key: adapter}, strength)
    for model in (stacked, separate):
        before = model.model.state_dict()[key].clone()
        model.patch_model()
        model.result = model.model.state_dict()[key].clone()
        model.unpatch_model()
        assert torch.equal(model.model.state_dict()[key], before)
        assert not torch.equal(model.result, before)
    assert torch.allclose(stacked.result.float(), separate.result.float(), rtol=2 ** -7, atol=1e-6)


def test_factors_keep_their_dtype_and_mixed_ones_become_single(rank_stack):
    same = rank_stack.combine(four(dtype=torch.bfloat16))
    assert {part.dtype for part in same.weights[:2]} == {torch.bfloat16}
    mixed = rank_stack.combine([(lora(8, 8, 2, 0, dtype=dtype), 1.0) for dtype in FORMATS[1:]])
    eighth = rank_stack.combine([(lora(8, 8, 2, 0, dtype=torch.float8_e4m3fn), 1)])
    assert {part.dtype for part in (*mixed.weights[:2], *eighth.weights[:2])} == {torch.float32}


def test_all_strengths_at_zero_change_nothing(rank_stack):
    weight = torch.randn(48, 40)
    stack = rank_stack.combine([(adapter, 0.0) for adapter, _ in four()])
    assert torch.equal(patched(weight, [patch(stack)]), weight)


def test_what_is_not_a_plain_lora_is_refused(rank_stack):
    from comfy.weight_adapter import LoHaAdapter, LoRAAdapter
    plain = lora(8, 8, 2, 0)
    dora = LoRAAdapter(set(), (*plain.weights[:4], torch.ones(8, 1), None))
    loha = LoHaAdapter(set(), (None,) * 8)
    assert rank_stack.stackable(plain) and not rank_stack.stackable(dora) and not rank_stack.stackable(loha)
    for bad in ([(dora, 1.0)], [(plain, 1.0), (loha, 1.0)], []):
        with pytest.raises(ValueError, match="adapters: expected plain LoRAs, got"):
            rank_stack.combine(bad)
    with pytest.raises(ValueError, match="same weight, got factors of 8x2, 6x2"):
        rank_stack.combine([(plain, 1.0), (lora(6, 8, 2, 1), 1.0)])


@pytest.mark.parametrize("dtype", FORMATS)
def test_where_the_kernel_is_proven_faster_it_merges_with_the_same_result(rank_stack, monkeypatch, dtype):
    adapters, asked = four(), []
    weight = torch.randn(48, 40, generator=torch.Generator().manual_seed(9)).to(dtype)

    def prefers(operation, device, allowed):
        asked.append((operation, device.type, allowed))
        return True

    monkeypatch.setattr(rank_stack, "dispatch", SimpleNamespace(prefers_triton=prefers))
    found = patched(weight, [patch(rank_stack.combine(adapters), 0.6)], intermediate_dtype=dtype)
    assert_close(found, weight, adapters, 0.6)
    assert asked == [("merge", "cpu", True)]


def test_the_host_s_flag_against_triton_is_passed_on(rank_stack, monkeypatch):
    allowed = []
    monkeypatch.setattr(rank_stack.args, "disable_triton_backend", True)
    monkeypatch.setattr(rank_stack.dispatch, "prefers_triton", lambda *asked: allowed.append(asked[2]) or False)
    patched(torch.zeros(48, 40), [patch(rank_stack.combine(four()))])
    assert allowed == [False]
