"""Whether what reaches the weights is what the host's own loader would do, times the ratio of the block."""
import json

import lora_models as small
import pytest
import torch
from lora_models import KINDS, enlarging, small_clip, small_model, weights


@pytest.fixture
def patching(pack):
    return pack.nodes.lora.applying.patching


@pytest.fixture
def load(pack):
    """Applies tensors as the node does and returns (model, clip, result)."""
    def apply(model, clip, tensors, blocks="", strength_model=1.0, strength_clip=1.0, metadata=None):
        lora = pack.nodes.lora.file.lora_files.LoraFile(tensors, metadata or {})
        spec = pack.nodes.lora.block_weights.block_language.parse(blocks)
        return pack.nodes.lora.applying.patching.apply_lora(model, clip, lora, strength_model, strength_clip, spec)
    return apply


@pytest.fixture
def core(host, pack):
    """Applies tensors with the host's own LoraLoader."""
    def apply(model, clip, tensors, strength=1.0, metadata=None):
        path = host.tmp / "output" / "loras" / "core.safetensors"
        pack.nodes.lora.file.lora_files.write_lora(path, tensors, metadata or {})
        return host.nodes.LoraLoader().load_lora(model, clip, "core.safetensors", strength, strength)
    return apply


def assert_same(found: dict, expected: dict, keys=None):
    assert found.keys() == expected.keys()
    different = [key for key in keys or found if not torch.equal(found[key], expected[key])]
    assert not different


def changed(before: dict, after: dict) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["SD1.5", "SD3-medium", "Flux.1"])
def test_all_weights_one_equals_the_core_loader_bit_for_bit(name, kind, load, core):
    model = small_model(name)
    tensors = small.lora_for(model, kind)
    ours, _, result = load(model, None, tensors, "default=1; *=1")
    theirs, _ = core(model, None, tensors)
    found = weights(ours)
    assert_same(found, weights(theirs))
    assert len(changed(weights(model), found)) == len(result.components[0].applied()) > 20
    assert result.unused == []


@pytest.mark.parametrize("strength", [0.7, -1.5])
@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr", "glora", "diff"])
def test_a_strength_without_blocks_equals_the_core_loader_bit_for_bit(kind, strength, load, core):
    model = small_model("Flux.1")
    tensors = small.lora_for(model, kind)
    ours, *_ = load(model, None, tensors, "", strength)
    assert_same(weights(ours), weights(core(model, None, tensors, strength)[0]))


@pytest.mark.parametrize("name", ["SDXL", "Z-Image", "Wan2.1-1.3B"])
def test_other_architectures_equal_the_core_loader_bit_for_bit(name, load, core):
    model = small_model(name)
    tensors = small.lora_for(model, "lora")
    assert_same(weights(load(model, None, tensors)[0]), weights(core(model, None, tensors)[0]))


def fused_lora(model, prefix):
    """A LoRA with diffusers' names, which the host key_maps to slices of fused weights."""
    import comfy.lora
    names = comfy.lora.model_lora_keys_unet(model.model, {})
    shapes = {key: weight.shape for key, weight in model.model.state_dict().items()}
    tensors = {}
    for seed, (name, target) in enumerate(names.items()):
        if name.startswith(prefix) and isinstance(target, tuple) and target[1] and target[0] in shapes:
            shape = (target[1][2], shapes[target[0]][1])
            for suffix, tensor in small.adapter("lora", shape, seed).items():
                tensors[name + suffix] = tensor
    return tensors


@pytest.mark.parametrize("name", ["SD3-medium", "Flux.1", "Z-Image"])
def test_slices_of_fused_weights_are_kept(name, load, core):
    model = small_model(name)
    tensors = fused_lora(model, "transformer.")
    ours, _, result = load(model, None, tensors)
    assert_same(weights(ours), weights(core(model, None, tensors)[0]))
    assert len(result.components[0].applied()) == len(tensors) // 3 > 5


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


def test_whole_fused_weights_are_reported_when_a_selector_asks_for_a_part(load, pack):
    model = small_model("Flux.1")
    _, _, result = load(model, None, small.lora_for(model, "lora"), "D00.q=0; S*.attn=0")
    unsplit = {change.target for change in result.components[0].changes if change.unsplit}
    assert "diffusion_model.double_blocks.0.img_attn.qkv.weight" in unsplit
    assert "diffusion_model.single_blocks.1.linear1.weight" in unsplit
    assert "diffusion_model.double_blocks.1.img_attn.qkv.weight" not in unsplit
    assert "fused" in pack.nodes.lora.applying.apply_report.report("x", result)


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


def test_metadata_travels_with_the_model_and_the_clip_as_in_the_core(load, core):
    model, clip = small_model("SD1.5"), small_clip()
    tensors = small.lora_for(model, "lora") | small.lora_for_clip(clip)
    metadata = {"ss_network_dim": "2"}
    for new_model, new_clip in (load(model, clip, tensors, metadata=metadata)[:2],
                                core(model, clip, tensors, metadata=metadata)):
        assert new_model.get_attachment("lora_metadata") == metadata
        assert new_clip.patcher.get_attachment("lora_metadata") == metadata


def test_one_add_patches_call_serves_every_ratio(load, monkeypatch):
    import comfy.model_patcher
    model = small_model("Flux.1")
    calls = []
    original = comfy.model_patcher.ModelPatcher.add_patches
    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "add_patches",
                        lambda self, *args, **kwargs: calls.append(1) or original(self, *args, **kwargs))
    load(model, None, small.lora_for(model, "lora"), "*=linear(0.1, 1)")
    assert len(calls) == 1


def test_norms_and_biases_take_the_ratio_of_their_block(load, core):
    model = small_model("Wan2.1-1.3B")
    norm, bias = "diffusion_model.blocks.1.norm3", "diffusion_model.blocks.0.ffn.0"
    tensors = {f"{norm}.w_norm": torch.randn(64), f"{norm}.b_norm": torch.randn(64), f"{bias}.diff_b": torch.randn(96)}
    full = weights(core(model, None, tensors)[0])
    assert_same(weights(load(model, None, tensors)[0]), full)
    found = weights(load(model, None, tensors, "B01=0")[0])
    assert changed(weights(model), found) == {f"{bias}.bias"}


@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr", "glora", "diff", "set", "oft", "boft"])
def test_a_wrong_shape_is_found_before_patching_and_named_with_both_shapes(kind, load):
    model = small_model("Flux.1")
    shape = (24, 12)
    name = "lora_unet_double_blocks_0_img_mlp_0"
    tensors = {name + suffix: tensor for suffix, tensor in small.adapter(kind, shape).items()}
    new_model, _, result = load(model, None, tensors)
    (change,) = result.components[0].changes
    assert new_model is model
    assert ("24" in change.problem and "256" in change.problem) or kind == "glora"
    assert change.problem and not result.unused


def test_a_lora_that_swaps_rows_and_columns_does_not_pass_for_the_right_shape(load):
    model = small_model("Flux.1")  # img_mlp.0 is 256x64; the host would reshape this one into it
    tensors = {"lora_unet_double_blocks_0_img_mlp_0" + suffix: tensor
               for suffix, tensor in small.adapter("lora", (64, 256)).items()}
    _, _, result = load(model, None, tensors)
    assert result.components[0].changes[0].problem == "the LoRA has 64x256, the model 256x64"


def test_a_slice_that_lies_outside_its_weight_is_left_out(pack):
    """The host's names for Lumina 2 count k and v as wide as q; merging there raises in the middle of sampling."""
    problem = pack.nodes.lora.patches.shape_check.problem
    assert "has 3840" in problem(("diff", (torch.zeros(2304, 8),)), (3840, 8), (0, 4608, 2304))


def test_a_lora_may_enlarge_a_weight(load, core):
    model = small_model("Flux.1")
    tensors = enlarging()
    ours, theirs = load(model, None, tensors)[0], core(model, None, tensors)[0]
    assert weights(ours)["diffusion_model.img_in.weight"].shape == (64, 128)
    assert_same(weights(ours), weights(theirs))
    assert load(model, None, tensors, "BASE.img_in=0")[0] is model


def test_keys_that_match_nothing_are_listed(load, pack):
    model = small_model("SD1.5")
    tensors = {f"lora_unet_nowhere.lora_{way}.weight": torch.ones(2, 2) for way in ("up", "down")}
    new_model, new_clip, result = load(model, None, tensors | small.lora_for_clip(small_clip()))
    text = pack.nodes.lora.applying.apply_report.report("odd.safetensors", result)
    assert new_model is model and new_clip is None
    assert text.splitlines()[0].startswith("odd.safetensors: nothing is applied, because no key of the file belongs to")
    assert "no CLIP is connected: 36 keys (lora_te_text_model" in text
    assert "2 keys (lora_unet_nowhere.lora_up.weight, lora_unet_nowhere.lora_down.weight)" in text


def test_the_report_says_what_every_block_got(load, pack):
    model = small_model("SD1.5")
    tensors = {name: t for name, t in small.lora_for(model, "lora").items() if "input_blocks_3" not in name}
    _, _, result = load(model, None, tensors, "IN*=0.5; IN05=0; OUT*.attn=0.25")
    text = pack.nodes.lora.applying.apply_report.report("style.safetensors", result)
    assert "IN00-IN02=0.5; IN04=0.5; IN05=0; IN06-IN11=0.5; MID=1;" in text and "OUT03-OUT11=0.25/1" in text
    assert "not in the LoRA: IN03\n" in text
    assert "muted in the model: " in text and "input_blocks.5." in text


def test_half_an_adapter_is_an_error_that_names_the_missing_key(load):
    tensors = {"lora_unet_double_blocks_0_img_mlp_0.lora_up.weight": torch.ones(256, 2)}
    with pytest.raises(ValueError, match="without 'lora_unet_double_blocks_0_img_mlp_0.lora_down.weight'"):
        load(small_model("Flux.1"), None, tensors)


def test_a_weight_that_the_file_names_twice_takes_the_last_as_in_the_core_and_the_report_says_so(load, core, pack):
    model = small_model("Flux.1")
    path = "double_blocks.0.img_mlp.0"
    first = {f"lora_unet_{path.replace('.', '_')}{suffix}": t for suffix, t in small.adapter("lora", (256, 64)).items()}
    second = {f"diffusion_model.{path}{suffix}": t for suffix, t in small.adapter("lora", (256, 64), 9).items()}
    ours, _, result = load(model, None, first | second)
    assert_same(weights(ours), weights(core(model, None, first | second)[0]))
    (reason, keys), = result.lost.items()
    assert len(keys) == 2 and "another name for the same weight" in reason
    winner = second if keys[0] in first else first
    assert_same(weights(ours), weights(load(model, None, winner)[0]))
    assert f"not applied, {reason}: 2 keys ({keys[0]}" in pack.nodes.lora.applying.apply_report.report("x", result)


def test_the_bias_of_a_slice_which_the_host_drops_is_reported(load, core, pack):
    model = small_model("Flux.1")
    name = "transformer.transformer_blocks.0.attn.to_q"
    tensors = {f"{name}.lora_A.weight": torch.ones(2, 64), f"{name}.lora_B.weight": torch.ones(64, 2),
               f"{name}.diff_b": torch.ones(64)}
    ours, _, result = load(model, None, tensors)
    assert_same(weights(ours), weights(core(model, None, tensors)[0]))
    assert result.lost == {"the host drops the bias of a slice": [f"{name}.diff_b"]} and not result.unused
    text = pack.nodes.lora.applying.apply_report.report("x", result)
    assert "not applied, the host drops the bias of a slice: 1 key (" in text


def test_names_that_contain_text_belong_to_the_model_if_its_key_map_has_them(load):
    """The Inspire Pack sends every key with "text" in it, such as context_block, to the text encoder."""
    model, clip = small_model("SD3-medium"), small_clip()
    tensors = {name: t for name, t in small.lora_for(model, "lora").items() if "context" in name}
    new_model, new_clip, result = load(model, clip, tensors, strength_clip=0.0)
    assert len(result.components[0].applied()) == len(tensors) // 3 > 5
    assert new_clip is clip and new_model is not model and not result.components[1].changes


@pytest.mark.parametrize("ratio", [0.5, -2.0])
def test_the_ratio_of_a_lora_that_enlarges_a_weight_scales_its_change(ratio, load):
    model = small_model("Flux.1")
    key = "diffusion_model.img_in.weight"
    tensors = enlarging()
    base = torch.nn.functional.pad(weights(model)[key], (0, 64)).double()
    whole = weights(load(model, None, tensors)[0])[key].double() - base
    found = weights(load(model, None, tensors, f"BASE.img_in={ratio}")[0])[key].double() - base
    assert torch.linalg.norm(found - ratio * whole) < 1e-5 * torch.linalg.norm(ratio * whole)


def test_the_blocks_for_the_page_stand_in_the_models_order_with_their_ratio(pack):
    model, clip = small_model("SD1.5"), small_clip()
    tensors = {name: t for name, t in small.lora_for(model, "lora").items() if "input_blocks_3" not in name}
    output = pack.nodes.lora.nodes.ApplyLora.execute(model, tensors, 1.0, 1.0, "IN*=0.5; OUT*.attn=0.25; TE=0.1", clip)
    (text,), (listed,) = output.ui["text"], output.ui["bottega_blocks"]
    assert output.ui["bottega_lora"] == [None]  # no file has them
    blocks = json.loads(listed)
    by_name = {row["block"]: row for row in blocks}
    assert text == output.result[2] and list(by_name)[:2] == ["BASE.time_embed", "IN00"]
    assert by_name["IN03"] == {"block": "IN03", "in_file": False, "ratio": 0.5}
    assert by_name["IN04"]["in_file"] and by_name["MID"]["ratio"] == 1 == by_name["OUT03"]["ratio"]
    assert by_name["TE.clip_l.00"] == {"block": "TE.clip_l.00", "in_file": False, "ratio": 0.1}
    assert [row["block"] for row in blocks][-1] == "TE.clip_l.01" and len(blocks) == 30


@pytest.mark.parametrize("blocks, named", [
    ("J00=0.5; J01.audio*=0", None),
    ("J01.x_block.attn=0; J00.mod=0", "1 statement of blocks reaches nothing that the LoRA changes: J00.mod=0"),
    ("TE*=0; J00=1", "TE*=0"), ("J00,BASE.t_embedder=0", "BASE.t_embedder=0"), ("default=0.5; J*=0", ""),
])
def test_a_statement_that_reaches_nothing_of_the_file_is_named(blocks, named, pack):
    room, model = pack.nodes.lora, small_model("SD3-medium")
    tensors = {key: t for key, t in small.lora_for(model, "lora").items() if "_blocks_" in key and "adaLN" not in key}
    spec = room.block_weights.block_language.parse(blocks)
    file = room.file.lora_files.LoraFile(tensors, {})
    if named is None:
        with pytest.raises(ValueError, match="matches no weight"):
            room.applying.patching.apply_lora(model, None, file, 1.0, 1.0, spec)
        return
    result = room.applying.patching.dry_run(model, None, file, 1.0, 1.0, spec)
    text = room.applying.apply_report.report("x", result)
    assert named in text and ("reaches nothing" in text) == bool(named)


def test_why_nothing_is_applied_is_what_stands_below(load, pack):
    report, model = pack.nodes.lora.applying.apply_report.report, small_model("SD3-medium")
    boft = {key: t for key, t in small.lora_for(model, "boft").items() if not key.endswith("alpha")}
    said = report("x", load(model, None, boft)[2])
    assert "because 25 weights cannot be changed (a BOFT without alpha, which" in said
    first, second = ({key: t for key, t in small.lora_for(model, "lora").items()
                      if f"joint_blocks_{n}_x_block_mlp_fc1" in key} for n in (0, 1))
    short = {key: t[:, :-1] if "down" in key else t for key, t in first.items()}
    text = report("x", load(model, None, short | second, "J01=0")[2])
    assert "because 1 weight cannot be changed (the LoRA has 512x127, the model 512x128), and the strength or" in text
