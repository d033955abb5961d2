"""The ratio of a block scales what reaches its weights, and nothing else."""
import lora_models as small
import pytest
import torch
from lora_models import KINDS, assert_same, changed, enlarging, fused_lora, small_clip, small_model, weights


@pytest.mark.parametrize("kind", KINDS)
def test_a_muted_block_is_bit_identical_to_the_base_and_the_others_to_the_whole(kind, load):
    model = small_model("SD1.5")
    tensors = small.lora_for(model, kind)
    base, full = weights(model), weights(load(model, None, tensors)[0])
    muted, _, result = load(model, None, tensors, "IN01,MID=0")
    found = weights(muted)
    inside = {key for key in base if "input_blocks.1." in key or "middle_block." in key}
    assert_same(found, base, inside)
    assert_same(found, full, base.keys() - inside)
    assert not inside & {key for key, patches in muted.patches.items() if patches}
    assert changed(base, full) & inside


@pytest.mark.parametrize("ratio", [0.25, -1.0, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_ratio_scales_the_change_linearly_whatever_the_format(kind, ratio, load):
    model = small_model("Flux.1")
    key = "diffusion_model.double_blocks.1.img_attn.qkv.weight"
    tensors = {name: t for name, t in small.lora_for(model, kind).items() if "double_blocks_1_img_attn_qkv" in name}
    base = weights(model)[key].double()
    whole = weights(load(model, None, tensors)[0])[key].double() - base
    found = weights(load(model, None, tensors, f"D01={ratio}")[0])[key].double() - base
    assert torch.linalg.norm(found - ratio * whole) < 1e-5 * torch.linalg.norm(whole) * max(1, abs(ratio))


def test_the_ratio_multiplies_the_strength(load):
    model = small_model("Flux.1")
    tensors = small.lora_for(model, "lora")
    ours = weights(load(model, None, tensors, "*=0.5", strength_model=0.5)[0])
    assert_same(ours, weights(load(model, None, tensors, "", strength_model=0.25)[0]))


@pytest.mark.parametrize("ratio", [0.5, -2.0])
def test_the_ratio_of_a_lora_that_enlarges_a_weight_scales_its_change(ratio, load):
    model = small_model("Flux.1")
    key = "diffusion_model.img_in.weight"
    tensors = enlarging()
    base = torch.nn.functional.pad(weights(model)[key], (0, 64)).double()
    whole = weights(load(model, None, tensors)[0])[key].double() - base
    found = weights(load(model, None, tensors, f"BASE.img_in={ratio}")[0])[key].double() - base
    assert torch.linalg.norm(found - ratio * whole) < 1e-5 * torch.linalg.norm(ratio * whole)


@pytest.mark.parametrize("name, part, rows", [("SD3-medium", "k", slice(128, 256)), ("Z-Image", "v", slice(128, 192))])
def test_a_part_of_a_fused_weight_has_its_own_ratio(name, part, rows, load):
    model = small_model(name)
    tensors = fused_lora(model, "transformer.")
    block, key = {"SD3-medium": ("J01", "diffusion_model.joint_blocks.1.x_block.attn.qkv.weight"),
                  "Z-Image": ("L01", "diffusion_model.layers.1.attention.qkv.weight")}[name]
    base, full = weights(model)[key], weights(load(model, None, tensors)[0])[key]
    found = weights(load(model, None, tensors, f"{block}.{part}=0")[0])[key]
    expected = full.clone()
    expected[rows] = base[rows]
    assert torch.equal(found, expected) and not torch.equal(base[rows], full[rows])


def test_norms_and_biases_take_the_ratio_of_their_block(load, core):
    model = small_model("Wan2.1-1.3B")
    norm, bias = "diffusion_model.blocks.1.norm3", "diffusion_model.blocks.0.ffn.0"
    tensors = {f"{norm}.w_norm": torch.randn(64), f"{norm}.b_norm": torch.randn(64), f"{bias}.diff_b": torch.randn(96)}
    full = weights(core(model, None, tensors)[0])
    assert_same(weights(load(model, None, tensors)[0]), full)
    found = weights(load(model, None, tensors, "B01=0")[0])
    assert changed(weights(model), found) == {f"{bias}.bias"}


def test_the_text_encoder_equals_the_core_loader_and_has_its_own_blocks(load, core):
    model, clip = small_model("SD1.5"), small_clip()
    tensors = small.lora_for(model, "lora") | small.lora_for_clip(clip)
    base = weights(clip)
    full = weights(core(model, clip, tensors)[1])
    assert_same(weights(load(model, clip, tensors)[1]), full)
    found = weights(load(model, clip, tensors, "TE.clip_l.01=0")[1])
    inside = {key for key in base if ".layers.1." in key}
    assert_same(found, base, inside)
    assert_same(found, full, base.keys() - inside)
    assert len(changed(base, full)) == 12 and len(changed(base, found)) == 6


def test_patches_that_were_there_keep_their_strength(load):
    model = small_model("Flux.1")
    first = small.lora_for(model, "lora")
    second = small.lora_for(model, "diff")
    once, *_ = load(model, None, first, "S*=0.3")
    twice, *_ = load(once, None, second, "D*=0.6; S*=0")
    key = "diffusion_model.double_blocks.0.img_mlp.0.weight"
    assert [entry[0] for entry in twice.patches[key]] == [1.0, 0.6]
    single = "diffusion_model.single_blocks.0.linear2.weight"
    assert [entry[0] for entry in twice.patches[single]] == [0.3] and len(once.patches[key]) == 1


@pytest.mark.parametrize("blocks, strengths", [("*=0", (1.0, 1.0)), ("default=0", (1.0, 1.0)), ("", (0.0, 0.0))])
def test_everything_at_zero_returns_the_input_objects(blocks, strengths, load):
    model, clip = small_model("SD1.5"), small_clip()
    tensors = small.lora_for(model, "lora") | small.lora_for_clip(clip)
    new_model, new_clip, result = load(model, clip, tensors, blocks, *strengths)
    assert new_model is model and new_clip is clip
    assert sum(len(side.changes) for side in result.components) > 20


def test_one_add_patches_call_serves_every_ratio(load, monkeypatch):
    import comfy.model_patcher
    model = small_model("Flux.1")
    calls = []
    original = comfy.model_patcher.ModelPatcher.add_patches
    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "add_patches",
                        lambda self, *args, **kwargs: calls.append(1) or original(self, *args, **kwargs))
    load(model, None, small.lora_for(model, "lora"), "*=linear(0.1, 1)")
    assert len(calls) == 1
