"""A strength that follows the steps: on the starter in the host's executor, and where the host's hooks end."""
import json
import sys
from pathlib import Path

import lora_models as small
import pytest
import torch
from lora_models import KINDS, enlarging, small_clip, small_model, weights
from safetensors.torch import load_file, save_file

STARTER = Path(__file__).resolve().parents[3] / "starter"
BLOCKS = "J01=0.5; J02=0; *.mlp=0.8"


@pytest.fixture(scope="module")
def schedule(pack):
    return pack.nodes.lora.applying.schedule


@pytest.fixture(scope="module")
def shop(host):
    """The starter in the host's folders, and a LoRA of random numbers for it and its text encoder."""
    import comfy.sd
    import folder_paths
    sys.path.append(str(STARTER))
    from install import MODEL, TEXT, install_models
    models = host.tmp / "starter"
    install_models(models)
    for kind in ("diffusion_models", "text_encoders"):
        folder_paths.add_model_folder_path(kind, str(models / kind))
    loras = host.tmp / "output" / "loras"
    loras.mkdir(parents=True, exist_ok=True)
    model = comfy.sd.load_diffusion_model(str(models / "diffusion_models" / MODEL))
    clip = comfy.sd.load_clip([str(models / "text_encoders" / TEXT)], clip_type=comfy.sd.CLIPType.SD3)
    tensors = small.lora_for(model, "lora") | lora_for_texts(clip)
    save_file({key: t * (0.2 if "lora_up" in key else 1) for key, t in tensors.items()}, loras / "hook.safetensors")
    return host


def lora_for_texts(clip):
    tensors = {}
    for seed, (key, weight) in enumerate(clip.cond_stage_model.state_dict().items()):
        if weight.ndim == 2 and key.endswith("self_attn.v_proj.weight"):
            for suffix, tensor in small.adapter("lora", tuple(weight.shape), seed).items():
                tensors["text_encoders." + key.removesuffix(".weight") + suffix] = tensor
    return tensors


def node(kind, **inputs):
    return {"class_type": kind, "inputs": {name: list(v) if isinstance(v, tuple) else v for name, v in inputs.items()}}


def sampling(model, clip, name):
    return {
        "model": node("UNETLoader", unet_name="bottega_starter.safetensors", weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name="bottega_starter_text.safetensors", type="sd3"),
        "words": node("CLIPTextEncode", text="a red circle left of a blue square", clip=clip),
        "empty": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        "sample": node("KSampler", model=model, positive=("words", 0), negative=("words", 0), latent_image=("empty", 0),
                       seed=3, steps=3, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0),
        "save": node("SaveLatent", samples=("sample", 0), filename_prefix=name),
    }


def scheduled(keyframes, blocks="", name="scheduled", **inputs):
    prompt = sampling(("model", 0), ("hooked", 0), name)
    prompt["hooks"] = node("BottegaScheduleLora", lora_name="hook.safetensors", strength_model=1.0, strength_clip=1.0,
                           blocks=blocks, keyframes=keyframes, **inputs)
    prompt["hooked"] = node("SetClipHooks", clip=("clip", 0), hooks=("hooks", 0), apply_to_conds=True,
                            schedule_clip=inputs.pop("schedule_clip", True))
    return prompt


def loaded(blocks="", strength=1.0):
    prompt = sampling(("lora", 0), ("lora", 1), "loaded")
    prompt["lora"] = node("BottegaLoadLora", model=("model", 0), clip=("clip", 0), lora_name="hook.safetensors",
                          strength_model=strength, strength_clip=strength, blocks=blocks)
    return prompt


@pytest.fixture
def latent(shop):
    def sample(prompt):
        outputs, _ = shop.run(prompt)
        (file,) = outputs["save"]["latents"]
        return load_file(shop.tmp / "output" / file["subfolder"] / file["filename"])["latent_tensor"]
    return sample


def gap(a, b):
    return float((a - b).abs().max() / b.abs().max())


def test_the_picture_follows_the_schedule(latent):
    base = latent(sampling(("model", 0), ("clip", 0), "base"))
    plain = latent(loaded())
    assert gap(plain, base) > 0.05
    assert gap(latent(scheduled("0:1")), plain) < 1e-4
    assert gap(latent(scheduled("")), plain) < 1e-4
    assert torch.equal(latent(scheduled("0:0")), base)
    changing = latent(scheduled("0:0, 0.5:1"))
    assert gap(changing, base) > 0.01 and gap(changing, plain) > 0.01


def test_block_weights_hold_inside_a_schedule(latent):
    with_blocks = latent(loaded(BLOCKS))
    assert gap(latent(scheduled("0:1", BLOCKS)), with_blocks) < 1e-4 < gap(latent(loaded()), with_blocks)
    assert gap(latent(scheduled("0:0.5", BLOCKS)), latent(loaded(BLOCKS, 0.5))) < 1e-4
    assert gap(latent(scheduled("0:1", BLOCKS, model=("model", 0), clip=("clip", 0))), with_blocks) < 1e-4


def test_beside_the_layers_it_is_the_same_picture_and_no_weight_is_patched(latent, monkeypatch):
    from comfy.model_patcher import ModelPatcher
    patched, patch = [], ModelPatcher.patch_hook_weight_to_device
    monkeypatch.setattr(ModelPatcher, "patch_hook_weight_to_device", lambda self, *args, **named: patched.append(
        self.is_clip) or patch(self, *args, **named))
    keyframes = "0:0.2, 0.3:1, 0.7:-0.5"
    for blocks in ("", BLOCKS):
        wanted = latent(scheduled(keyframes, blocks))
        assert not all(patched)
        patched.clear()
        prompt = scheduled(keyframes, blocks, apply_as="bypass", model=("model", 0))
        assert gap(latent(prompt), wanted) < 1e-4 and all(patched)
    assert gap(latent(scheduled("0:0.5", apply_as="bypass")), latent(loaded(strength=0.5))) < 1e-4
    assert torch.equal(latent(scheduled("0:0", apply_as="bypass")), latent(scheduled("0:0")))


def test_beside_the_layers_only_the_prompts_with_the_hook_have_it(latent):
    found = []
    for apply_as in ("patch", "bypass"):
        prompt = scheduled("0:0.3, 0.4:1", apply_as=apply_as)
        prompt["plain"] = node("CLIPTextEncode", text="a green ring", clip=("clip", 0))
        prompt["sample"]["inputs"] |= {"negative": ["plain", 0], "cfg": 2.0}
        found.append(latent(prompt))
    assert gap(*found) < 1e-4


@pytest.mark.parametrize("blocks, settings", [
    ("0.25," + ",".join("1" * 12), dict(vector_mode="inspire")), ("A,1,1," + ",".join("R" * 10), dict(
        vector_mode="inspire", a=0.25)), ("J00=A; J01=B; J02=U", dict(seed=5, a=0.25, b=0.0))])
def test_block_weights_are_read_as_load_lora_reads_them(blocks, settings, latent):
    prompt = loaded(blocks)
    prompt["lora"]["inputs"] |= settings
    expected, there = latent(prompt), dict(model=("model", 0), clip=("clip", 0))
    assert gap(latent(scheduled("0:1", blocks, **there, **settings)), expected) < 1e-4 < gap(latent(loaded()), expected)


def test_hooks_of_other_nodes_are_kept(latent):
    prompt = scheduled("0:0.5", prev_hooks=("first", 0))
    prompt["first"] = node("BottegaScheduleLora", lora_name="hook.safetensors", strength_model=1.0, strength_clip=1.0,
                           blocks="", keyframes="0:0.5")
    assert gap(latent(prompt), latent(loaded())) < 1e-4


def test_the_node_says_what_it_will_do_and_what_it_changes(shop):
    outputs, _ = shop.run(scheduled("0:0.2, 0.5:1", "J01=0.5", model=("model", 0), clip=("clip", 0)))
    text = outputs["hooks"]["text"][0]
    assert text.startswith("hook.safetensors: strength 0.2 from the start, 1 from 50%.") and "J01=0.5" in text
    blocks = {entry["block"]: entry["ratio"] for entry in json.loads(outputs["hooks"]["bottega_blocks"][0])}
    assert (blocks["J00"], blocks["J01"], "TE.clip_l.11" in blocks) == (1.0, 0.5, True)
    assert outputs["hooks"]["bottega_lora"] == ["hook.safetensors"]


def test_a_wrong_name_is_an_error_of_the_node_when_the_model_is_there_and_of_the_sampler_otherwise(shop):
    with pytest.raises(Exception, match='"IN04" names no block') as caught:
        shop.run(scheduled("0:1", "IN04=1", model=("model", 0)))
    assert caught.value.args[0]["node_id"] == "hooks"
    with pytest.raises(Exception, match='"IN04" names no block') as caught:
        shop.run(scheduled("0:1", "IN04=1"))
    assert caught.value.args[0]["node_id"] == "sample"


@pytest.mark.parametrize("text, message", [
    ("0:1, x", 'got "x"'), ("0.5", 'got "0.5"'), ("0:1:2", 'got "0:1:2"'), ("1.5:1", "a share of the sampling, 0 to 1"),
    ("-0.1:1", "a share of the sampling"), ("0.5:1, 0.2:0", "not after 0.5"), ("0:nan", "not a finite number")])
def test_keyframes_that_cannot_be_read_are_refused_before_anything_runs(text, message, shop):
    _, errors = shop.validate(scheduled(text))
    assert "keyframes: " in str(errors) and message in str(errors)


@pytest.mark.parametrize("text, frames", [("", ()), ("0:0.2, 0.5:1", ((0.0, 0.2), (0.5, 1.0))),
                                          ("0:1;.5:-1\n1:0,", ((0.0, 1.0), (0.5, -1.0), (1.0, 0.0)))])
def test_keyframes_are_read(text, frames, schedule):
    assert schedule.parse_keyframes(text) == frames


def hooked(schedule, pack, model, tensors, blocks="", strength=1.0, at=1.0, ratios=None, **settings):
    """A clone of the model with the hook on it, at the strength `at` of its keyframe."""
    import comfy.hooks
    words = pack.nodes.lora.block_weights
    spec, settings = words.block_language.parse(blocks), words.block_language.Settings(**settings)
    group = schedule.lora_hooks(tensors, strength, strength, spec, ((0.0, at),), ratios, settings)
    clone, target = model.clone(), comfy.hooks.EnumWeightTarget.Model
    clone.register_all_hook_patches(group, comfy.hooks.create_target_dict(target), {})
    clone.patch_hooks(group)
    found = {key: t.detach().clone() for key, t in clone.model.state_dict().items()}
    clone.patch_hooks(None)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_as_strong_as_the_loader_makes_it(kind, schedule, pack):
    model = small_model("SD3-medium")
    tensors, before = small.lora_for(model, kind), weights(model)
    for strength, at in ((1.0, 1.0), (0.8, 0.5), (1.0, 0.0)):
        lora = pack.nodes.lora.file.lora_files.LoraFile(tensors, {})
        spec = pack.nodes.lora.block_weights.block_language.parse("J00=0.5; J01.attn=0")
        plain = pack.nodes.lora.applying.patching.apply_lora(model, None, lora, strength * at, 1.0, spec)[0]
        expected = weights(plain)
        found = hooked(schedule, pack, model, tensors, "J00=0.5; J01.attn=0", strength, at)
        assert all(torch.allclose(found[key], expected[key], rtol=0, atol=1e-6) for key in expected)
    assert all(torch.equal(before[key], tensor) for key, tensor in weights(model).items())


@pytest.mark.parametrize("connected", [False, True])
def test_an_inspire_vector_gives_each_block_what_the_loader_gives_it(connected, schedule, pack):
    lora, model = pack.nodes.lora, small_model("Flux.1")
    file, blocks = lora.file.lora_files.LoraFile(small.lora_for(model, "lora"), {}), "0.5,0,A," + ",".join("R" * 10)
    inspire = lora.block_weights.block_language.Settings("inspire", seed=7)
    spec = lora.block_weights.block_language.parse(blocks)
    expected = weights(lora.applying.patching.apply_lora(model, None, file, 1.0, 1.0, spec, inspire)[0])
    told = schedule.check_and_report("x", file, 1.0, 1.0, spec, model, small_clip(), inspire)
    ratios = told[1] if connected else None
    found = hooked(schedule, pack, model, file.tensors, blocks, ratios=ratios, vector_mode="inspire", seed=7)
    assert all(torch.allclose(found[key], expected[key], rtol=0, atol=1e-6) for key in expected)


def test_files_that_the_host_only_knows_after_conversion_are_converted(schedule, pack):
    model = small_model("Wan2.1-1.3B")
    shape = model.model.state_dict()["diffusion_model.blocks.0.cross_attn.k.weight"].shape
    tensors = {"lora_unet__blocks_0_cross_attn_k" + suffix: t for suffix, t in small.adapter("lora", shape).items()}
    found, before = hooked(schedule, pack, model, tensors), weights(model)
    assert [key for key in before if not torch.equal(found[key], before[key])] == [
        "diffusion_model.blocks.0.cross_attn.k.weight"]


def test_text_encoders_have_their_own_weights(schedule, pack):
    import comfy.hooks
    clip = small_clip().clone()
    spec = pack.nodes.lora.block_weights.block_language.parse("IN04=0.5; D*=0; TE.clip_l.00=0; TE.clip_l.01=0.5")
    group = schedule.lora_hooks(small.lora_for_clip(clip), 1.0, 1.0, spec, ())
    clip.patcher.register_all_hook_patches(group, comfy.hooks.create_target_dict(comfy.hooks.EnumWeightTarget.Clip))
    (rows,) = clip.patcher.hook_patches.values()
    assert {key.split(".layers.")[1][0] for key in rows} == {"1"} and {row[0][0] for row in rows.values()} == {0.5}


def test_a_block_of_the_model_whose_name_begins_as_that_of_the_encoders_is_not_theirs(schedule, pack):
    places = pack.nodes.lora.model.blocks.encoder_places(small_clip().cond_stage_model.state_dict())
    spec = pack.nodes.lora.block_weights.block_language.parse("text_embedding=0; TE*=0.5; TE=0.5; te.clip_l.01=1")
    assert [s.selectors for s in schedule.encoder_part(spec, places)] == [("TE*",), ("TE",), ("te.clip_l.01",)]


def test_a_vector_for_text_encoders_asks_for_the_model(schedule, pack):
    spec = pack.nodes.lora.block_weights.block_language.parse(",".join(["1"] * 17))
    with pytest.raises(ValueError, match="connect model and clip to Schedule LoRA"):
        schedule.encoder_part(spec, {})


class Packed(torch.nn.Parameter):
    """Stands for a quantised weight: a parameter of its own class, as the host's and GGUF's are."""


def test_quantised_weights_are_refused_before_sampling(schedule, pack):
    model = small_model("SD3-medium").clone()
    layer = model.model.diffusion_model.joint_blocks[0].x_block.mlp.fc1
    plain, layer.weight = layer.weight, Packed(layer.weight.data.to(torch.uint8), requires_grad=False)
    try:
        with pytest.raises(ValueError, match="hooks cannot change quantised weights, and this one is a Packed"):
            hooked(schedule, pack, model, small.lora_for(model, "lora"))
        hooked(schedule, pack, model, small.lora_for(model, "lora"), "J00=0")
    finally:
        layer.weight = plain


def test_beside_the_layers_quantised_weights_stay_and_what_is_no_branch_is_patched(schedule, pack):
    model = small_model("SD3-medium").clone()
    layer = model.model.diffusion_model.joint_blocks[0].x_block.mlp.fc1
    file = pack.nodes.lora.file.lora_files.LoraFile(small.lora_for(model, "lora") | {
        "diffusion_model.final_layer.linear.diff_b": torch.ones(64)}, {})
    plain, layer.weight = layer.weight, Packed(layer.weight.data.to(torch.uint8), requires_grad=False)
    try:
        with pytest.raises(ValueError, match="hooks cannot change quantised weights"):
            schedule.check_and_report("x", file, 1.0, 1.0, (), model, None)
        text = schedule.check_and_report("x", file, 1.0, 1.0, (), model, None, apply_as="bypass")[0]
    finally:
        layer.weight = plain
    assert "patched all the same: 1 (no layer's weight)" in text


def test_a_lora_that_enlarges_a_weight_is_refused_before_sampling(schedule, pack):
    model = small_model("Flux.1")
    tensors = enlarging()
    with pytest.raises(ValueError, match="enlarges a weight"):
        hooked(schedule, pack, model, tensors)


def test_dynamic_vram_is_announced(schedule, monkeypatch):
    import comfy.memory_management
    assert schedule.dynamic_vram_notice() == ""
    monkeypatch.setattr(comfy.memory_management, "aimdo_enabled", True)
    assert "loads the model a second time" in schedule.dynamic_vram_notice()
