"""The names of a model's weights are worked out once, and anew when the model is another one."""
import gc
from unittest import mock

import comfy.lora
import pytest
import torch
from lora_models import build, lora_for, small_model


@pytest.fixture(scope="module")
def key_maps(pack):
    return pack.nodes.lora.model.key_maps


def test_another_choice_of_blocks_neither_maps_the_names_nor_the_blocks_again(pack):
    patching, language = pack.nodes.lora.applying.patching, pack.nodes.lora.block_weights.block_language
    model = small_model("Flux.1")
    lora = pack.nodes.lora.file.lora_files.LoraFile(lora_for(model, "lora"), {})
    load = lambda blocks: patching.apply_lora(model, None, lora, 1.0, 1.0, language.parse(blocks))
    load("D00=0.5")
    with (mock.patch.object(comfy.lora, "model_lora_keys_unet", side_effect=AssertionError("mapped again")),
          mock.patch.object(pack.nodes.lora.model.key_maps, "model_places", side_effect=AssertionError("again"))):
        changed, _, result = load("D00=0")
    assert not any(".double_blocks.0." in key for key in changed.patches)
    assert any(".double_blocks.1." in key for key in changed.patches)
    assert {c.ratio for c in result.components[0].changes if c.alias == "D00"} == {0.0}


def test_a_model_whose_modules_another_pack_has_changed_is_mapped_anew(key_maps):
    model = build("Wan2.1-1.3B", "meta", dict(dim=64, num_heads=2, ffn_dim=96, num_layers=1))
    before = key_maps.of_model(model)
    assert key_maps.of_model(model) is before
    model.diffusion_model.extra = torch.nn.Linear(2, 2)
    after = key_maps.of_model(model)
    assert "diffusion_model.extra.weight" in after.places and "diffusion_model.extra" in after.names


def test_the_maps_go_with_their_model(key_maps):
    model = build("Wan2.1-1.3B", "meta", dict(dim=64, num_heads=2, ffn_dim=96, num_layers=1))
    key_maps.of_model(model)
    known = len(key_maps._known)
    del model
    gc.collect()
    assert len(key_maps._known) == known - 1
