"""What is saved under diffusers' names is taken whole by diffusers itself."""
import lora_models as small
import pytest
from lora_models import small_model
from safetensors.torch import load_file


def test_diffusers_itself_takes_every_key_of_a_flux_file(room, source):
    diffusers, _ = pytest.importorskip("diffusers"), pytest.importorskip("peft")
    model = small_model("Flux.1")
    saved = load_file(room.save([source(small.lora_for(model, "lora"), 0.5)], "d", "diffusers", 0, {}, model).path)
    flux = diffusers.FluxTransformer2DModel(
        in_channels=64, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, guidance_embeds=True, axes_dims_rope=(8, 12, 12))
    flux.load_lora_adapter(dict(saved), prefix="transformer")
    assert_taken(flux, saved, "transformer.", ".lora_B.weight", ".lora_A.weight")


def test_diffusers_itself_takes_every_key_of_a_unet_file(room, source):
    diffusers, _ = pytest.importorskip("diffusers"), pytest.importorskip("peft")
    model = small_model("SD1.5")
    saved = load_file(room.save([source(small.lora_for(model, "lora"), 0.5)], "d", "diffusers", 0, {}, model).path)
    unet = diffusers.UNet2DConditionModel(block_out_channels=(32, 64, 128, 128), cross_attention_dim=32,
                                          attention_head_dim=2)
    unet.load_lora_adapter(dict(saved), prefix="unet")
    assert_taken(unet, saved, "unet.", "lora.up.weight", "lora.down.weight")


def assert_taken(model, saved, prefix, up_ending, down_ending):
    """Every pair of factors is in the model of diffusers, with its product."""
    found = {key: t for key, t in model.state_dict().items() if ".lora_" in key}
    products = sorted(float((found[key].flatten(1) @ found[key.replace(".lora_B.", ".lora_A.")].flatten(1)).norm())
                      for key in found if ".lora_B." in key)
    wanted = sorted(float((t.flatten(1) @ saved[key.replace(up_ending, down_ending)].flatten(1)).norm())
                    for key, t in saved.items() if key.endswith(up_ending))
    assert products == pytest.approx(wanted, rel=1e-5) and 2 * len(wanted) == len(saved) > 50
    assert all(key.startswith(prefix) for key in saved)
