"""The energy of a change: against the change itself, formed in float64."""

import lora_models as small
import pytest
import torch
from lora_models import small_model

SHAPES = {"linear": (24, 16), "kernel": (24, 16, 3, 3)}


@pytest.fixture
def energy(pack):
    return pack.nodes.lora.patches.energy


def patch_of(kind, shape):
    import comfy.lora
    return comfy.lora.load_lora({"x" + suffix: t for suffix, t in small.adapter(kind, shape).items()},
                                {"x": "x.weight"}, log_missing=False)["x.weight"]


def formed(kind, shape, weight):
    """The change in float64, by the formulas of the papers."""
    t = {suffix: tensor.double() for suffix, tensor in small.adapter(kind, shape).items()}
    flat = lambda name: t[name].flatten(1)
    low_rank = lambda: flat(".lora_up.weight") @ flat(".lora_down.weight") * 1.5 / 2
    if kind == "lora":
        return low_rank()
    if kind == "dora":
        norm = weight.flatten(1).norm(dim=1, keepdim=True) + torch.finfo(torch.float32).eps
        return (weight.flatten(1) + low_rank()) * t[".dora_scale"].flatten(1) / norm - weight.flatten(1)
    if kind == "loha":
        return (t[".hada_w1_a"] @ t[".hada_w1_b"]) * (t[".hada_w2_a"] @ t[".hada_w2_b"]) * 1.5 / 2
    if kind == "lokr":
        first = t[".lokr_w1"][(...,) + (None,) * (len(shape) - 2)]
        return torch.kron(first, t[".lokr_w2"])
    if kind == "glora":
        return (weight @ t[".a1.weight"] @ t[".a2.weight"] + t[".b1.weight"] @ t[".b2.weight"]) * 1.5 / 2
    if kind in ("diff", "set"):
        return t[".diff"] if kind == "diff" else t[".set_weight"] - weight
    blocks = t[".oft_blocks"]
    q = blocks - blocks.transpose(-1, -2)
    if kind == "boft":
        q = q * min(1.0, 100.0 / float(q.norm()))
    eye = torch.eye(4, dtype=torch.float64)
    turn = (eye + q) @ (eye - q).inverse()
    rows = weight.flatten(1)
    if kind == "oft":
        return torch.einsum("knm,knc->kmc", turn, rows.view(-1, 4, rows.shape[1])).reshape(rows.shape) - rows
    return _butterfly(turn, rows) - rows


def _butterfly(turn, rows):
    for i, stage in enumerate(turn):
        k = 2 ** i * 2
        rows = rows.unflatten(0, (-1, 2, k)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, 4))
        rows = torch.einsum("bij,bjc->bic", stage, rows).flatten(0, 1)
        rows = rows.unflatten(0, (-1, k, 2)).transpose(1, 2).flatten(0, 2)
    return rows


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", small.KINDS)
def test_the_norm_is_that_of_the_change_formed_in_float64(kind, shape, energy):
    if kind == "glora" and len(shape) == 4:
        pytest.skip("a GLoRA of a kernel has another layout in every trainer")
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    expected = float(formed(kind, shape, weight).norm())
    assert energy.change_norm(patch_of(kind, shape), weight.float) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("kind", small.KINDS)
def test_only_what_depends_on_the_weight_needs_it(kind, energy):
    alone = energy.change_norm(patch_of(kind, (24, 16)))
    assert (alone is None) == (kind in ("dora", "glora", "set", "oft", "boft"))
    assert energy.needs_weight(patch_of(kind, (24, 16))) == (alone is None)


@pytest.mark.parametrize("alpha, factor", [(None, 1.0), (4.0, 2.0), (-1.0, 0.5), (0.0, 0.0)])
def test_alpha_over_rank_counts(alpha, factor, energy):
    from comfy.weight_adapter import LoRAAdapter
    up, down = torch.randn(8, 2), torch.randn(2, 6)
    patch = LoRAAdapter(set(), (up, down, alpha, None, None, None))
    assert energy.change_norm(patch) == pytest.approx(factor * float((up @ down).norm()), rel=1e-5)


def test_tucker_forms_are_formed_as_the_host_does(energy):
    from comfy.weight_adapter import LoHaAdapter, LoRAAdapter
    make = lambda *size: torch.randn(size)
    weight = torch.zeros(8, 6, 3, 3)
    for patch in (LoRAAdapter(set(), (make(8, 2, 1, 1), make(2, 6, 1, 1), 1.0, make(2, 2, 3, 3), None, None)),
                  LoHaAdapter(set(), (make(2, 8), make(2, 6), 1.0, make(2, 8), make(2, 6), make(2, 2, 3, 3),
                                      make(2, 2, 3, 3), None))):
        assert energy.change_norm(patch) == pytest.approx(float(energy.change(patch, weight).norm()), rel=1e-5)


def test_a_tucker_lokr_is_the_product_of_its_norms(energy):
    from comfy.weight_adapter import LoKrAdapter
    w1, w2_a, w2_b, t2 = torch.randn(2, 2), torch.randn(2, 4), torch.randn(2, 3), torch.randn(2, 2, 3, 3)
    second = torch.einsum("ijkl,jr,ip->prkl", t2, w2_b, w2_a)
    expected = torch.kron(w1[..., None, None].contiguous(), second.contiguous()).norm() * 4.0 / 2
    patch = LoKrAdapter(set(), (w1, None, 4.0, None, None, w2_a, w2_b, t2, None))
    assert energy.change_norm(patch) == pytest.approx(float(expected), rel=1e-5)


def test_half_precision_is_summed_in_full(energy):
    patch = ("diff", (torch.full((300, 300), 300.0, dtype=torch.float16),))
    assert energy.change_norm(patch) == pytest.approx(300.0 * 300.0)


def test_the_energy_of_a_block_is_the_norm_of_its_whole_change(energy):
    changes = [("D00", patch_of("diff", (4, 4)), None), ("D00", ("diff", (torch.full((2,), 3.0),)), None),
               ("S00", patch_of("dora", (4, 4)), None)]
    found = energy.block_energies(changes)
    whole = torch.cat([changes[0][1][1][0].flatten(), torch.full((2,), 3.0)])
    assert found["D00"] == (pytest.approx(float(whole.norm())), 2, 0)
    assert found["S00"] == (0.0, 1, 1)


def test_a_slice_is_measured_against_its_own_rows(energy):
    model = small_model("SD3-medium").model
    key = "diffusion_model.joint_blocks.1.x_block.attn.qkv.weight"
    part = energy.model_weight(model, (key, (0, 128, 128)))
    assert torch.equal(part, model.state_dict()[key][128:256])


@pytest.mark.parametrize("way", ["patches", "hooks"])
def test_a_weight_is_its_own_while_the_host_keeps_patches_in_it(way, energy):
    import comfy.hooks
    model, key = small_model("SD3-medium").clone(), "diffusion_model.joint_blocks.1.x_block.attn.qkv.weight"
    before, ones = model.model.state_dict()[key].clone(), torch.ones(384, 128)
    if way == "patches":
        model.add_patches({key: ("diff", (ones,))}, 1.0)
        model.patch_model()
    else:
        group = comfy.hooks.create_hook_lora({"diffusion_model.joint_blocks.1.x_block.attn.qkv.diff": ones}, 1.0, 1.0)
        target = comfy.hooks.create_target_dict(comfy.hooks.EnumWeightTarget.Model)
        model.register_all_hook_patches(group, target)
        model.patch_hooks(group)
    try:
        assert torch.equal(energy.model_weight(model.model, key), before + 1)
        assert torch.equal(energy.own_weight(small_model("SD3-medium"), (key, (0, 128, 128))), before[128:256])
    finally:
        model.unpatch_hooks()
        model.unpatch_model()
