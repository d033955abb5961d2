"""What reaches the weights is what the host's own loader would do."""
import lora_models as small
import pytest
import torch
from lora_models import KINDS, assert_same, changed, enlarging, fused_lora, small_clip, small_model, weights


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


@pytest.mark.parametrize("name", ["SD3-medium", "Flux.1", "Z-Image"])
def test_slices_of_fused_weights_are_kept(name, load, core):
    model = small_model(name)
    tensors = fused_lora(model, "transformer.")
    ours, _, result = load(model, None, tensors)
    assert_same(weights(ours), weights(core(model, None, tensors)[0]))
    assert len(result.components[0].applied()) == len(tensors) // 3 > 5


def test_a_lora_may_enlarge_a_weight(load, core):
    model = small_model("Flux.1")
    tensors = enlarging()
    ours, theirs = load(model, None, tensors)[0], core(model, None, tensors)[0]
    assert weights(ours)["diffusion_model.img_in.weight"].shape == (64, 128)
    assert_same(weights(ours), weights(theirs))
    assert load(model, None, tensors, "BASE.img_in=0")[0] is model


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


def test_metadata_travels_with_the_model_and_the_clip_as_in_the_core(load, core):
    model, clip = small_model("SD1.5"), small_clip()
    tensors = small.lora_for(model, "lora") | small.lora_for_clip(clip)
    metadata = {"ss_network_dim": "2"}
    for new_model, new_clip in (load(model, clip, tensors, metadata=metadata)[:2],
                                core(model, clip, tensors, metadata=metadata)):
        assert new_model.get_attachment("lora_metadata") == metadata
        assert new_clip.patcher.get_attachment("lora_metadata") == metadata
