"""What is saved does at strength 1, in the host's own loader, what was there before."""
import json

import lora_models as small
import pytest
import torch
from lora_models import KINDS, enlarging, metadata_of, off, small_clip, small_model, weights
from safetensors.torch import load_file

FORMATS = ("comfy", "kohya", "diffusers")
PREFIXES = {"comfy": ("diffusion_model.",), "kohya": ("lora_unet_",), "diffusers": ("transformer.", "unet.")}


def sliced_lora(model, kind="lora", prefix="transformer."):
    """A LoRA with diffusers' names for the slices of fused weights."""
    import comfy.lora
    shapes = {key: weight.shape for key, weight in model.model.state_dict().items()}
    tensors = {}
    for seed, (name, target) in enumerate(comfy.lora.model_lora_keys_unet(model.model, {}).items()):
        if name.startswith(prefix) and isinstance(target, tuple) and target[1] and target[0] in shapes:
            for suffix, tensor in small.adapter(kind, (target[1][2], shapes[target[0]][1]), seed).items():
                tensors[name + suffix] = tensor
    return tensors


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_format_comes_back_as_it_was(kind, style, room, source, expected, core):
    model = small_model("SD3-medium")
    sources = [source(small.lora_for(model, kind), -0.7, "J00=0.5; *.mlp=0.25; J01.attn=0")]
    saved = room.save(sources, f"{kind} {style}", style, 0, {}, model)
    assert off(core(saved.path, model)[0], expected(model, sources)[0]) == {}
    names = list(load_file(saved.path))
    assert sum(name.startswith(PREFIXES[style]) for name in names) > len(names) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_at_strength_one_every_format_is_kept_bit_for_bit(kind, room, source):
    model = small_model("SD3-medium")
    tensors = small.lora_for(model, kind)
    found = load_file(room.save([source(tensors)], "bits", "kohya", 0, {}, model).path)
    assert found.keys() == tensors.keys() and all(torch.equal(found[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("kind", ["lora", "loha", "lokr", "glora", "diff"])
def test_a_strength_leaves_a_format_that_can_carry_it_what_it_is(kind, room, source):
    model = small_model("SD3-medium")
    tensors = small.lora_for(model, kind)
    found = load_file(room.save([source(tensors, 0.5)], "form", "kohya", 0, {}, model).path)
    assert found.keys() == tensors.keys()


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("name", ["SD1.5", "SDXL", "Flux.1", "Z-Image", "Wan2.1-1.3B"])
def test_every_architecture_comes_back_under_every_name(name, style, room, source, expected, core):
    model = small_model(name)
    sources = [source(small.lora_for(model, "lora"), 0.8)]
    saved = room.save(sources, f"{name} {style}", style, 0, {}, model)
    assert off(core(saved.path, model)[0], expected(model, sources)[0]) == {}


@pytest.mark.parametrize("kind", ["lora", "dora", "lokr"])
@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("name", ["SD3-medium", "Flux.1", "Z-Image"])
def test_slices_of_fused_weights_come_back_under_every_name(name, style, kind, room, source, expected, core):
    model = small_model(name)
    sources = [source(sliced_lora(model, kind), 0.5 if kind == "lora" else 1.0)]
    saved = room.save(sources, f"s {name} {style}", style, 0, {}, model)
    assert off(core(saved.path, model)[0], expected(model, sources)[0]) == {}


def variants(rows, columns, kernel=()):
    """Forms of the formats that small.adapter does not make: Tucker cores, two low ranks, no alpha, DoRA on inputs."""
    generator = torch.Generator().manual_seed(7)
    make = lambda *size: torch.randn(size, generator=generator) * 0.3
    ones, lora = [1] * len(kernel), {}
    lora = {".lora_up.weight": make(rows, 3, *ones), ".lora_down.weight": make(3, columns, *kernel)}
    forms = {"no alpha": lora, "dora on inputs": lora | {".dora_scale": make(1, columns, *ones).abs() + 0.5}}
    forms["half"] = {key: t.half() for key, t in lora.items()} | {".alpha": torch.tensor(1.0).half()}
    if kernel:
        tucker = {".lora_up.weight": make(rows, 2, *ones), ".lora_down.weight": make(2, columns, *ones)}
        forms["locon core"] = tucker | {".lora_mid.weight": make(2, 2, *kernel), ".alpha": torch.tensor(4.0)}
        half = lambda n: {f".hada_w{n}_a": make(2, rows), f".hada_w{n}_b": make(2, columns),
                          f".hada_t{n}": make(2, 2, *kernel)}
        forms["loha core"] = half(1) | half(2)
        forms["lokr core"] = {".lokr_w1": make(2, 2), ".lokr_t2": make(2, 2, *kernel), ".lokr_w2_a": make(2, rows // 2),
                              ".lokr_w2_b": make(2, columns // 2), ".alpha": torch.tensor(3.0)}
    else:
        forms["lokr low rank"] = {".lokr_w1": make(2, 2), ".lokr_w2_a": make(rows // 2, 2),
                                  ".lokr_w2_b": make(2, columns // 2), ".alpha": torch.tensor(3.0)}
        forms["lokr two low ranks"] = {".lokr_w1_a": make(2, 1), ".lokr_w1_b": make(1, 2),
                                       ".lokr_w2_a": make(rows // 2, 2), ".lokr_w2_b": make(2, columns // 2)}
        forms["old glora"] = {".a1.weight": make(2, columns), ".a2.weight": make(columns, 2),
                              ".b1.weight": make(2, columns), ".b2.weight": make(rows, 2)}
        forms["lokr scaled"] = {".lokr_w1": make(2, 2), ".lokr_w2": make(rows // 2, columns // 2),
                                ".dora_scale": make(rows, 1).abs() + 0.5}
    return forms


@pytest.mark.parametrize("style", ["kohya", "diffusers"])
@pytest.mark.parametrize("key", ["joint_blocks.1.x_block.attn.qkv", "x_embedder.proj"])
def test_rarer_forms_of_the_formats_come_back(key, style, room, source, expected, core):
    model = small_model("SD3-medium")
    key = f"diffusion_model.{key}"
    shape = model.model.state_dict()[f"{key}.weight"].shape
    for label, form in variants(*shape[:2], shape[2:]).items():
        tensors = {key + ending: tensor for ending, tensor in form.items()}
        one, two = [source(tensors, 0.5)], [source(tensors, 0.5), source(tensors, -0.2)]
        for sources in (one, two, [source(tensors)]):
            saved = room.save(sources, "rare", style, 0, {}, model)
            found, wanted = core(saved.path, model)[0], expected(model, sources)[0]
            assert off(found, wanted) == {} and off(found, weights(model)), label

@pytest.mark.parametrize("style", FORMATS)
def test_halves_that_the_host_swaps_come_back(style, room, source, expected, core):
    model = small_model("Flux.1")
    name = "transformer.norm_out.linear"
    shape = model.model.state_dict()["diffusion_model.final_layer.adaLN_modulation.1.weight"].shape
    for kind in ("lora", "diff", "loha"):
        sources = [source({name + end: t for end, t in small.adapter(kind, tuple(shape)).items()}, 0.5)]
        saved = room.save(sources, f"swap {style}", style, 0, {}, model)
        assert off(core(saved.path, model)[0], expected(model, sources)[0]) == {}


def test_flux_in_diffusers_names_is_what_diffusers_expects(room, source):
    model = small_model("Flux.1")
    saved = room.save([source(small.lora_for(model, "lora"))], "flux", "diffusers", 0, {}, model)
    names = {key.rsplit(".lora_", 1)[0] for key in load_file(saved.path)}
    assert {f"transformer.single_transformer_blocks.0.{part}" for part in
            ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp", "proj_out", "norm.linear")} <= names
    assert {f"transformer.transformer_blocks.1.{part}" for part in
            ("attn.to_q", "attn.add_v_proj", "attn.to_out.0", "ff.net.0.proj", "ff_context.net.2")} <= names
    assert all(name.startswith("transformer.") for name in names)


def test_unets_have_the_names_of_their_tools(room, source):
    for name, part in (("SD1.5", "lora_unet_down_blocks_0_attentions_0_"), ("SDXL", "lora_unet_input_blocks_4_1_")):
        model = small_model(name)
        names = list(load_file(room.save([source(small.lora_for(model, "lora"))], "u", "kohya", 0, {}, model).path))
        assert any(key.startswith(part) for key in names) and all(key.startswith("lora_unet_") for key in names)
    model = small_model("SD1.5")
    names = list(load_file(room.save([source(small.lora_for(model, "lora"))], "u", "diffusers", 0, {}, model).path))
    assert any(".attn1.processor.to_q_lora.up.weight" in key for key in names)
    assert all(key.startswith("unet.") for key in names)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("kinds", [("lora", "lora"), ("lora", "loha"), ("lora", "dora", "lora"), ("set", "lora"),
                                   ("oft", "lokr"), ("glora", "diff"), ("boft", "set")])
def test_a_stack_becomes_one_file(kinds, style, room, source, expected, core):
    model = small_model("SD3-medium")
    sources = [source({k: t * (1 + i * (t.ndim > 1)) for k, t in small.lora_for(model, kind).items()}, 0.7 - 0.4 * i,
                      "J00=0.5" if i else "") for i, kind in enumerate(kinds)]
    saved = room.save(sources, "stack", style, 0, {}, model)
    assert off(core(saved.path, model)[0], expected(model, sources)[0]) == {}


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("whole, part", [("lora", "lora"), ("dora", "lora"), ("lora", "dora"), ("loha", "diff")])
def test_slices_and_whole_weights_merge(whole, part, style, room, source, expected, core):
    model = small_model("Z-Image")
    sources = [source(small.lora_for(model, whole), 0.5), source(sliced_lora(model, part), 0.8)]
    saved = room.save(sources, "both", style, 0, {}, model)
    assert off(core(saved.path, model)[0], expected(model, sources)[0]) == {}


def test_plain_loras_are_joined_along_the_rank(room, source):
    model = small_model("SD3-medium")
    tensors = small.lora_for(model, "lora")
    saved = room.save([source(tensors), source(tensors, -0.5), source(tensors, 0.25)], "rank", "kohya", 0, {}, model)
    ranks = {t.shape[0] for key, t in load_file(saved.path).items() if "lora_down" in key}
    assert ranks == {6} and "25 lora" in saved.text.splitlines()[0]


def test_norms_and_biases_come_back(room, source, expected, core):
    model = small_model("Wan2.1-1.3B")
    norm, bias = "diffusion_model.blocks.1.norm3", "diffusion_model.blocks.0.ffn.0"
    tensors = {f"{norm}.w_norm": torch.randn(64), f"{norm}.b_norm": torch.randn(64), f"{bias}.diff_b": torch.randn(96),
               "diffusion_model.blocks.0.modulation.diff": torch.randn(1, 6, 64)}
    for style in FORMATS:
        sources = [source(tensors, 0.5, "B01=0.5")]
        saved = room.save(sources, "norms", style, 0, {}, model)
        assert off(core(saved.path, model)[0], expected(model, sources)[0]) == {}


def test_a_lora_that_enlarges_a_weight_comes_back(room, source, expected, core):
    model = small_model("Flux.1")
    tensors = enlarging()
    saved = room.save([source(tensors, 0.5)], "wide", "comfy", 0, {}, model)
    assert off(core(saved.path, model)[0], expected(model, [source(tensors, 0.5)])[0]) == {}
    with pytest.raises(ValueError, match="enlarges a weight .* can be saved alone"):
        room.save([source(tensors), source(tensors)], "wide", "comfy", 0, {}, model)


@pytest.mark.parametrize("style", FORMATS)
def test_text_encoders_come_back_with_their_own_strength(style, room, source, expected, core):
    model, clip = small_model("SD1.5"), small_clip()
    tensors = small.lora_for(model, "lora") | small.lora_for_clip(clip)
    sources = [source(tensors, 0.5, "TE.clip_l.00=0.25", clip=2.0)]
    base = weights(clip)
    saved = room.save(sources, "te", style, 0, {}, model, clip)
    for found, wanted in zip(core(saved.path, model, clip), expected(model, sources, clip), strict=True):
        assert off(found, wanted) == {}
    assert len(off(found, base)) == 12


def test_text_encoders_without_a_clip_keep_their_names_or_ask_for_it(room, source, expected, core):
    model, clip = small_model("SD1.5"), small_clip()
    tensors = small.lora_for(model, "lora") | small.lora_for_clip(clip)
    sources = [source(tensors, 0.5, "IN04=0; TE.clip_l.00=0", clip=2.0)]
    with pytest.raises(ValueError, match="clip: connect the clip to save as comfy"):
        room.save([source(tensors)], "te", "comfy", 0, {}, model)
    saved = room.save(sources, "te", "kohya", 0, {}, model)
    _, found = core(saved.path, model, clip)
    wanted = expected(model, [source(tensors, 0.5, "IN04=0; TE.clip_l.00=0", clip=2.0)], clip)[1]
    assert off(found, wanted) == {}
    with pytest.raises(ValueError, match="clip: connect the CLIP to merge"):
        room.save([source(tensors), source(tensors)], "te", "kohya", 0, {}, model)
    assert "lora_te" not in "".join(load_file(room.save([source(tensors, clip=0.0)] * 2, "te", "kohya", 0, {},
                                                        model).path))


def test_what_is_saved_does_not_depend_on_what_another_branch_has_patched_into_the_model(room, source):
    model = small_model("SD3-medium")
    tensors, other = small.lora_for(model, "dora"), model.clone()
    other.add_patches({key: ("diff", (torch.ones_like(w),)) for key, w in model.model.state_dict().items()
                       if key.endswith("fc1.weight")}, 1.0)
    save = lambda: load_file(room.save([source(tensors, 0.5)], "branch", "kohya", 0, {}, model).path)
    plain = save()
    other.patch_model()
    try:
        found = save()
    finally:
        other.unpatch_model()
    assert found.keys() == plain.keys() and all(torch.equal(found[key], plain[key]) for key in plain)


def test_muted_blocks_are_not_in_the_file(room, source):
    model = small_model("SD3-medium")
    saved = room.save([source(small.lora_for(model, "lora"), 1.0, "J00=0")], "muted", "comfy", 0, {}, model)
    assert not any("joint_blocks.0." in key for key in load_file(saved.path)) and "muted in the model" in saved.text


def test_without_a_model_one_lora_keeps_its_names(room, source, expected, core):
    model = small_model("SD3-medium")
    tensors = small.lora_for(model, "lora")
    sources = [source(tensors, 0.5, "J00=0.5; default=2")]
    saved = room.save(sources, "alone", "kohya", 0, {})
    assert off(core(saved.path, model)[0], expected(model, sources)[0]) == {}
    for style in ("comfy", "diffusers"):
        with pytest.raises(ValueError, match=f"model: connect the model to save as {style}"):
            room.save(sources, "alone", style, 0, {})
    with pytest.raises(ValueError, match="model: connect the model to merge several"):
        room.save(sources * 2, "alone", "kohya", 0, {})
    with pytest.raises(ValueError, match='"IN04" names no block .*the names in the file spell'):
        room.save([source(tensors, 1.0, "IN04=1")], "alone", "kohya", 0, {})


def test_what_needs_the_models_weights_says_so(room, source):
    tensors = small.lora_for(small_model("SD3-medium"), "dora")
    with pytest.raises(ValueError, match="model: connect the model. The change of a DoRA"):
        room.save([source(tensors, 0.5)], "dora", "kohya", 0, {})
    assert load_file(room.save([source(tensors)], "dora", "kohya", 0, {}).path).keys() == tensors.keys()


@pytest.mark.parametrize("strength, blocks", [(0.0, ""), (1.0, "default=0")])
def test_nothing_left_to_save_is_an_error(strength, blocks, room, source):
    with pytest.raises(ValueError, match="blocks: nothing is left to save"):
        room.save([source(small.lora_for(small_model("SD3-medium"), "lora"), strength, blocks)], "no", "comfy", 0, {},
                  small_model("SD3-medium"))


def test_the_metadata_is_carried_over_and_tells_how_the_file_was_made(room, source):
    model = small_model("SD3-medium")
    tensors = small.lora_for(model, "lora")
    shared = {"ss_base_model_version": "sd3", "sshs_model_hash": "abc"}
    sources = [source(tensors, 0.5, "J00=0.5", metadata=shared | {"ss_steps": "10"}),
               source(tensors, 1.0, metadata=shared | {"ss_steps": "20"})]
    found = metadata_of(room.save(sources, "made of", "kohya", 0, {"modelspec.author": "me"}, model).path)
    assert found["ss_base_model_version"] == "sd3" and found["modelspec.author"] == "me"
    assert not {"sshs_model_hash", "ss_steps"} & found.keys() and found["ss_network_dim"] == "4"
    recipe = json.loads(found["bottega.recipe"])
    assert recipe["loras"][0] == {"name": "a.safetensors", "strength_model": 0.5, "strength_clip": 1.0,
                                  "blocks": "J00=0.5"}
    alone = metadata_of(room.save(sources[:1], "made of", "kohya", 0, {}, model).path)
    assert alone["ss_steps"] == "10" and alone["modelspec.title"] == "made of"


@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("style", ["comfy", "diffusers"])
def test_with_the_metadata_of_the_source_given_as_well_the_file_does_the_same(style, sources, lora, room):
    model = small_model("SD3-medium")
    header = {"lora_adapter_metadata": json.dumps({"r": 2, "lora_alpha": 1}), "sshs_model_hash": "abc",
              "modelspec.thumbnail": "old", "ss_network_dim": "99", "ss_output_name": "old", "bottega.recipe": "{}",
              "ss_steps": "10"}
    base = "diffusion_model.joint_blocks.0.x_block.attn.proj"
    wide = len(model.model.state_dict()[f"{base}.weight"])
    tensors = {f"{base}.lora_A.weight": torch.randn(2, wide), f"{base}.lora_B.weight": torch.randn(wide, 2)}
    files, found = lora.file.lora_files, lora.file.peft_format.readable(tensors, header)
    read = files.LoraFile(found.tensors, header, implied=found.implied)
    every = [room.Source("a.safetensors", read, 1.0, 1.0, "")] * sources
    saved = [room.save(every, "again", style, 0, own, model) for own in ({}, header | {"ss_comment": "mine"})]
    plain, again = (lora.applying.patching.apply_lora(model, None, files.read_lora(each.path), 1.0, 1.0, ())[0]
                    for each in saved)
    assert off(weights(again), weights(plain)) == {} and off(weights(again), weights(model))
    found = metadata_of(saved[1].path)
    assert found["ss_comment"] == "mine" and found["ss_steps"] == "10" and found["ss_output_name"] == "again"
    assert found["ss_network_dim"] == str(2 * sources) and "loras" in found["bottega.recipe"]
    assert not {"lora_adapter_metadata", "sshs_model_hash", "modelspec.thumbnail"} & found.keys()
    assert "not taken from metadata" in saved[1].text and "not taken from metadata" not in saved[0].text
    own = metadata_of(room.save(every, "again", style, 0, {"modelspec.thumbnail": "new"}, model).path)
    assert own["modelspec.thumbnail"] == "new"


def test_the_recipe_says_how_several_loras_were_joined(pack, room, source):
    model, ties = small_model("SD3-medium"), pack.nodes.lora.patches.combine.Combination("ties", 0.3)
    sources = [source(small.lora_for(model, "lora"))] * 2
    recipe = lambda sources, **more: json.loads(
        metadata_of(room.save(sources, "joined", "comfy", 4, {}, model, **more).path)["bottega.recipe"])
    found = recipe(sources, how=ties)
    assert (found["combine"], found["density"], found["keep_size"]) == ("ties", 0.3, True)
    assert "combine" not in recipe(sources) and "combine" not in recipe(sources[:1], how=ties)


def test_keys_that_are_not_saved_are_told_also_where_text_encoders_keep_their_names(room, source):
    model, clip = small_model("SD3-medium"), small_clip()
    lost = {f"lora_unet_joint_blocks_99_mlp.lora_{side}.weight": torch.ones(2, 2) for side in ("up", "down")}
    encoders = small.lora_for_clip(clip) | {"lora_te_nothing.oft_R.weight": torch.ones(2, 2)}
    text = room.save([source(small.lora_for(model, "lora") | encoders | lost)], "told", "kohya", 0, {}, model).text
    assert "no weight of this model answers to it: 2 keys (lora_unet_joint_blocks_99" in text
    assert "37 lora" in text and "1 key (lora_te_nothing.oft_R.weight)" in text
