"""What a LoRA says about itself when no model is there: against what the model says."""

import lora_models as small
import pytest
import torch
from lora_models import small_clip, small_model


@pytest.fixture
def contents(pack):
    return pack.nodes.lora.file.blocks_from_names


def told_by_the_model(pack, model):
    import comfy.lora
    places = pack.nodes.lora.model.blocks.model_places(model.model.state_dict())
    names = comfy.lora.model_lora_keys_unet(model.model, {})
    keys = {name: target if isinstance(target, str) else target[0] for name, target in names.items()}
    return {name: places[key].alias for name, key in keys.items() if key in places}


@pytest.mark.parametrize("prefix", ["diffusion_model.", "lora_unet_"])
@pytest.mark.parametrize("name", small.SMALL)
def test_native_and_kohya_names_give_the_blocks_that_the_model_gives(name, prefix, contents, pack):
    expected = {n: alias for n, alias in told_by_the_model(pack, small_model(name)).items() if n.startswith(prefix)}
    found = {n: place.alias for n, place in contents.file_places(expected).items()}
    assert found == expected and len(expected) > 10


@pytest.mark.parametrize("name, prefix", [("SD1.5", "unet."), ("SDXL", "lora_unet_"), ("Flux.1", "transformer."),
                                          ("Flux.1", "lora_transformer_")])
def test_diffusers_names_give_the_blocks_that_the_model_gives(name, prefix, contents, pack):
    expected = {n: alias for n, alias in told_by_the_model(pack, small_model(name)).items()
                if n.startswith(prefix) and not alias.startswith("BASE")}
    found = {n: place.alias for n, place in contents.file_places(expected).items()}
    assert found == expected and len(expected) > 20


def test_text_encoders_have_their_layers(contents):
    import comfy.lora
    names = comfy.lora.model_lora_keys_clip(small_clip().cond_stage_model, {})
    layers = [n for n in names if "layers" in n]
    found = contents.file_places(dict.fromkeys(layers))
    assert found.keys() == set(layers) and len(layers) > 20
    assert all(place.alias[-3:] == f".0{'1' if 'layers.1.' in n or 'layers_1_' in n else '0'}"
               for n, place in found.items())


@pytest.mark.parametrize("kind", small.KINDS)
def test_the_patches_are_those_that_the_host_finds_with_a_model(kind, contents, pack):
    import comfy.lora
    model = small_model("SD3-medium")
    tensors = small.lora_for(model, kind)
    with_model = comfy.lora.load_lora(tensors, comfy.lora.model_lora_keys_unet(model.model, {}), log_missing=False)
    alone = contents.file_patches(tensors)
    assert {small.kohya_name(key) + ".weight" for key in with_model} == set(alone)
    assert {type(patch) for patch in alone.values()} == {type(patch) for patch in with_model.values()}


def test_biases_and_norms_are_found(contents):
    tensors = {f"diffusion_model.blocks.1.norm3{end}": torch.ones(4) for end in (".w_norm", ".b_norm", ".diff_b")}
    assert set(contents.file_patches(tensors)) == {"diffusion_model.blocks.1.norm3.weight",
                                                   "diffusion_model.blocks.1.norm3.bias"}


def test_what_is_no_lora_has_no_modules(contents):
    assert contents.module_names(["first_stage_model.decoder.conv_in.weight", "x"]) == []
    assert contents.file_patches({"x": torch.ones(1)}) == {} and contents.file_places({"x": None}) == {}
