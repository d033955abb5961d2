"""Whether every weight of every architecture has a place, and blocks have the names people use."""
import importlib
import re

import pytest
import torch
from lora_models import ARCHITECTURES, keys_of, small_clip


@pytest.fixture
def blocks(pack):
    return pack.nodes.lora.model.blocks


def aliases(places):
    return list(dict.fromkeys(place.alias for place in places.values()))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_key_of_an_architecture_has_one_place_and_every_alias_one_block(name, blocks):
    expected = ARCHITECTURES[name]
    places = blocks.model_places(keys_of(name))
    assert places.keys() == {key for key in keys_of(name) if key.startswith("diffusion_model.")}
    assert len({place.alias.lower() for place in places.values()}) == len({place.path for place in places.values()})
    runs = [run for run, _ in blocks.runs(dict.fromkeys(aliases(places), "")) if not run.startswith("BASE.")]
    assert sorted(runs) == sorted(expected["blocks"].split())
    assert len(aliases(places)) == expected["total"]


@pytest.mark.parametrize("name", ["SD1.5", "Flux.1", "Cosmos1-7B", "Cascade-C", "Wan-Animate"])
def test_path_and_rest_put_together_give_the_key(name, blocks):
    for key, place in blocks.model_places(keys_of(name)).items():
        assert key == "diffusion_model." + ".".join(filter(None, [place.path, place.rest]))


@pytest.mark.parametrize("key, place", [
    ("diffusion_model.input_blocks.4.1.proj_in.weight", ("IN04", "input_blocks.4", "1.proj_in.weight")),
    ("diffusion_model.middle_block.1.transformer_blocks.0.ff.net.2.weight",
     ("MID", "middle_block", "1.transformer_blocks.0.ff.net.2.weight")),
    ("diffusion_model.double_blocks.7.img_mod.lin.weight", ("D07", "double_blocks.7", "img_mod.lin.weight")),
    ("diffusion_model.blocks.block3.blocks.0.x.weight", ("B03", "blocks.block3", "blocks.0.x.weight")),
    ("diffusion_model.down_blocks.1.33.channelwise.0.weight", ("DOWN1.33", "down_blocks.1.33", "channelwise.0.weight")),
    ("diffusion_model.time_embed.0.weight", ("BASE.time_embed", "time_embed", "0.weight")),
    ("diffusion_model.register_tokens", ("BASE.register_tokens", "register_tokens", "")),
])
def test_places_by_example(key, place, blocks):
    assert blocks.model_places([key])[key] == place


def test_an_unknown_container_keeps_its_own_name_if_its_elements_are_more_than_layers(blocks):
    leaves = ["attn.q", "attn.k", "mlp"]
    big = [f"diffusion_model.tower.stages.{i}.{leaf}.weight" for i in range(2) for leaf in leaves]
    small = [f"diffusion_model.head.{i}.weight" for i in range(5)]
    places = blocks.model_places(big + small)
    assert aliases(places) == ["tower.stages.0", "tower.stages.1", "BASE.head"]


def test_a_second_container_of_the_same_family_does_not_take_its_letter(blocks):
    keys = ["diffusion_model.layers.0.a.weight", "diffusion_model.language_model.layers.0.a.weight"]
    places = blocks.model_places(keys)
    assert aliases(places) == ["L00", "language_model.layers.0"]


ENCODERS = {
    "clip_l.transformer.text_model.encoder.layers.11.mlp.fc1.weight": "TE.clip_l.11",
    "clip_l.transformer.text_model.embeddings.token_embedding.weight": "TE.clip_l.BASE",
    "t5xxl.transformer.encoder.block.23.layer.0.SelfAttention.q.weight": "TE.t5xxl.23",
    "t5xxl.transformer.shared.weight": "TE.t5xxl.BASE",
    "qwen25_7b.transformer.model.layers.5.mlp.up_proj.weight": "TE.qwen25_7b.05",
    "qwen25_7b.transformer.visual.blocks.5.mlp.up_proj.weight": "TE.qwen25_7b.V05",
    "hydit_clip.transformer.bert.encoder.layer.3.output.dense.weight": "TE.hydit_clip.03",
    "logit_scale": "TE.logit_scale.BASE",
}


def test_text_encoders_are_named_by_encoder_and_layer(blocks):
    assert {key: place.alias for key, place in blocks.encoder_places(ENCODERS).items()} == ENCODERS


def test_every_key_of_a_real_clip_has_a_place(blocks):
    keys = small_clip().cond_stage_model.state_dict().keys()
    places = blocks.encoder_places(keys)
    assert places.keys() == keys
    assert aliases(places) == ["TE.clip_l.BASE", "TE.clip_l.00", "TE.clip_l.01"]


TEXT_MODELS = [("sd1_clip.SD1ClipModel", {"clip_l": 12}), ("sdxl_clip.SDXLClipModel", {"clip_l": 12, "clip_g": 32}),
               ("text_encoders.flux.FluxClipModel", {"clip_l": 12, "t5xxl": 24}),
               ("text_encoders.wan.WanT5Model", {"umt5xxl": 24}),
               ("text_encoders.hydit.HyditModel", {"hydit_clip": 24, "mt5xl": 24}),
               ("text_encoders.z_image.ZImageTEModel", {"qwen3_4b": 36}),
               ("text_encoders.lumina2.LuminaModel", {"gemma2_2b": 26}),
               ("text_encoders.qwen_image.QwenImageTEModel", {"qwen25_7b": 28}),
               ("text_encoders.sd2_clip.SD2ClipModel", {"clip_h": 24}),
               ("text_encoders.aura_t5.AuraT5Model", {"pile_t5xl": 24}),
               ("text_encoders.genmo.MochiT5XXL", {"t5xxl": 24}),
               ("text_encoders.omnigen2.Omnigen2Model", {"qwen25_3b": 36})]


@pytest.mark.parametrize("path, layers", TEXT_MODELS)
def test_the_hosts_text_encoders_have_as_many_blocks_as_layers(path, layers, blocks):
    module, _, name = path.rpartition(".")
    model = getattr(importlib.import_module(f"comfy.{module}"), name)(device="meta", dtype=torch.float16)
    places = blocks.encoder_places(model.state_dict())
    assert places.keys() == model.state_dict().keys()
    names = [re.fullmatch(r"TE\.(\w+)\.\d\d", alias) for alias in aliases(places)]
    found = [match[1] for match in names if match]
    assert {encoder: found.count(encoder) for encoder in found} == layers
    assert len({place.alias.lower() for place in places.values()}) == len({place.path for place in places.values()})


def test_runs_join_only_neighbours_of_one_family_with_one_label(blocks):
    labels = {"IN00": "1", "IN01": "1", "IN02": "0", "MID": "0", "OUT00": "0", "OUT02": "0", "TE.clip_l.00": "0"}
    assert blocks.runs(labels) == [("IN00-IN01", "1"), ("IN02", "0"), ("MID", "0"), ("OUT00", "0"), ("OUT02", "0"),
                                   ("TE.clip_l.00", "0")]
