"""What the names in a file tell before there is a model: architecture, block of every module, energies."""
import json

import comfy.lora
import pytest
import torch
from lora_models import ARCHITECTURES, adapter, build, kohya_name
from make_architectures import TABLE, describe
from safetensors.torch import save_file

SLOW = {"Cascade-C"}  # seconds to build; the table has it


@pytest.fixture(scope="module")
def names(pack):
    return pack.nodes.lora.file.architecture_detection


@pytest.fixture(scope="module")
def overview(pack):
    return pack.nodes.lora.inspection.editor_overview.overview


@pytest.fixture(scope="module")
def table():
    return json.loads(TABLE.read_text(encoding="utf-8"))


def modules(model, prefix):
    """{name of a file: target key} for all matrices and kernels, in one tool's style."""
    weights = model.state_dict()
    found = {}
    for name, target in comfy.lora.model_lora_keys_unet(model, {}).items():
        key = target if isinstance(target, str) else target[0]
        if name.startswith(prefix) and key.endswith(".weight") and key in weights and weights[key].ndim > 1:
            found[name] = key
    return found


@pytest.mark.parametrize("name", sorted(ARCHITECTURES.keys() - SLOW))
def test_the_table_is_what_the_host_says_and_finds_every_module_of_a_full_lora(name, names, table, pack):
    model = build(name, "meta")
    current = table[name] == describe(model, pack)  # a bool: pytest would spell out a difference for minutes
    assert current, "run tests/lora/make_architectures.py"
    weights = model.state_dict()
    places = pack.nodes.lora.model.blocks.model_places(weights)
    for prefix in ("lora_unet_", "diffusion_model."):
        found = modules(model, prefix)
        reading = names.read({module: weights[key].shape[1] for module, key in found.items()})
        assert reading.architecture == name
        assert reading.blocks == list(dict.fromkeys(place.alias for place in places.values()))
        assert [module for module, key in found.items() if reading.aliases.get(module) != places[key].alias] == []


@pytest.mark.parametrize("name, module, alias", [
    ("SDXL", "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", "IN04"),
    ("SD1.5", "unet.up_blocks.1.attentions.2.transformer_blocks.0.attn2.processor.to_k", "OUT05"),
    ("Flux.1", "transformer.single_transformer_blocks.7.attn.to_q", "S07"),
    ("SD3.5-large", "transformer.transformer_blocks.37.attn.to_q", "J37"),
    ("Z-Image", "diffusion_model.layers.3.attention.to_q", "L03"),
    ("Cosmos1-7B", "lora_unet_blocks_block3_blocks_0_block_attn_to_q_0", "B03"),
])
def test_names_of_other_tools_by_example(name, module, alias, names):
    assert names.block_of(names.flat(module), names.architectures()[name]) == alias


@pytest.mark.parametrize("module, alias", [
    ("lora_te_text_model_encoder_layers_5_mlp_fc1", "TE.clip_l.05"),
    ("lora_te2_text_model_encoder_layers_31_self_attn_q_proj", "TE.clip_g.31"),
    ("text_encoder_2.text_model.encoder.layers.3.mlp.fc1", "TE.clip_g.03"),
    ("lora_te3_encoder_block_23_layer_0_SelfAttention_q", "TE.t5xxl.23"),
    ("text_encoders.qwen3_4b.transformer.model.layers.7.mlp.up_proj", "TE.qwen3_4b.07"),
])
def test_text_encoders_by_example(module, alias, names):
    reading = names.read({module: None})
    assert (reading.architecture, reading.aliases[module]) == ("", alias)
    assert alias in reading.blocks


def test_a_sparse_lora_of_attention_alone_is_told_by_its_names_and_widths(names):
    flux = {f"lora_unet_single_blocks_{n}_linear1": 3072 for n in (7, 12, 16, 20)}
    assert names.read(flux).architecture == "Flux.1"
    assert names.read(dict.fromkeys(flux, 4096)).architecture == "Flux.2-klein-9B"
    assert names.read({"some.thing": 8}).blocks == []


def test_aliases_are_the_inverse_of_runs(names, pack):
    blocks = pack.nodes.lora.model.blocks
    for entry in names.architectures().values():
        runs = blocks.runs(dict.fromkeys(entry.blocks, ""))
        assert list(blocks.expand(" ".join(run for run, _ in runs))) == entry.blocks


def test_module_paths_of_blocks(names):
    sdxl, cosmos = (names.architectures()[name] for name in ("SDXL", "Cosmos1-7B"))
    paths = [names.path(alias, sdxl) for alias in ("IN04", "MID", "BASE.time_embed", "TE.clip_l.00")]
    assert paths == ["input_blocks.4", "middle_block", "time_embed", None]
    assert names.path("B03", cosmos) == "blocks.block3"


def test_the_overview_of_a_file_has_the_true_norm_of_each_block(tmp_path, overview):
    keys = {"diffusion_model.double_blocks.7.img_attn.proj.weight": (8, 3072),
            "diffusion_model.double_blocks.7.txt_attn.proj.weight": (8, 3072),
            "diffusion_model.single_blocks.3.linear1.weight": (8, 3072)}
    parts = {key: adapter("lora", shape, seed) for seed, (key, shape) in enumerate(keys.items())}
    tensors = {kohya_name(key) + suffix: tensor for key, part in parts.items() for suffix, tensor in part.items()}
    save_file(tensors | adapter_of_a_stranger(), tmp_path / "flux.safetensors")
    found = overview(tmp_path / "flux.safetensors")
    changes = [part[".lora_up.weight"].double() @ part[".lora_down.weight"].double() * 1.5 / 2
               for part in parts.values()]
    energies = {entry["block"]: entry["energy"] for entry in found["blocks"] if entry["in_file"]}
    assert energies == {"D07": pytest.approx(float(torch.stack(changes[:2]).norm())),
                        "S03": pytest.approx(float(changes[2].norm()))}
    assert found["architecture"] == "Flux.1" and found["unplaced"] == 1


def adapter_of_a_stranger():
    return {f"unheard.of{suffix}": tensor for suffix, tensor in adapter("lora", (8, 8)).items()}


def test_energy_that_only_the_model_could_tell_is_none(tmp_path, overview):
    dora = {f"lora_unet_double_blocks_7_img_attn_proj{suffix}": tensor
            for suffix, tensor in adapter("dora", (8, 3072)).items()}
    save_file(dora, tmp_path / "dora.safetensors")
    entry = next(e for e in overview(tmp_path / "dora.safetensors")["blocks"] if e["block"] == "D07")
    assert entry == {"block": "D07", "path": "double_blocks.7", "in_file": True, "energy": None}


def test_a_file_of_no_known_model_shows_the_blocks_that_it_names(tmp_path, overview):
    names = ["joint_blocks.10.x_block.attn.qkv", "joint_blocks.2.x_block.attn.qkv", "head", "refiners.1.proj"]
    tensors = {f"diffusion_model.{name}{suffix}": tensor for name in names
               for suffix, tensor in adapter("lora", (8, 24)).items()}
    spelled_otherwise = {f"transformer.transformer_blocks.3.ff{suffix}": tensor
                         for suffix, tensor in adapter("lora", (8, 24)).items()}
    save_file(tensors | spelled_otherwise, tmp_path / "own.safetensors")
    found = overview(tmp_path / "own.safetensors")
    told = [(entry["block"], entry["path"], entry["in_file"]) for entry in found["blocks"]]
    assert told == [("J02", "joint_blocks.2", True), ("J10", "joint_blocks.10", True), ("BASE.head", "head", True)]
    assert found["architecture"] == "" and found["unplaced"] == 2
    assert all(entry["energy"] > 0 for entry in found["blocks"])


@pytest.mark.parametrize(("module", "width", "alias"), [
    ("lora_te_text_model_encoder_layers_3_self_attn_q_proj", 768, "TE.clip_l.03"),
    ("lora_te_text_model_encoder_layers_3_self_attn_q_proj", 1024, "TE.clip_h.03"),
    ("text_encoder.text_model.encoder.layers.3.mlp.fc2", 4096, "TE.clip_h.03"),
    ("lora_te_text_model_encoder_layers_22_mlp_fc1", None, "TE.clip_h.22"),
    ("lora_prior_te_text_model_encoder_layers_3_mlp_fc1", 1280, "TE.clip_g.03"),
    ("lora_te_text_model_encoder_layers_31_mlp_fc1", None, "TE.clip_g.31"),
    ("lora_te2_text_model_encoder_layers_3_mlp_fc1", None, "TE.clip_g.03")])
def test_clips_of_one_name_are_told_by_their_size(module, width, alias, names):
    assert names.read({module: width}).aliases == {module: alias}
