"""A LoRA that does not fit its weight is found before anything is patched."""
import lora_models as small
import pytest
import torch
from lora_models import small_model


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


def test_half_an_adapter_is_an_error_that_names_the_missing_key(load):
    tensors = {"lora_unet_double_blocks_0_img_mlp_0.lora_up.weight": torch.ones(256, 2)}
    with pytest.raises(ValueError, match="without 'lora_unet_double_blocks_0_img_mlp_0.lora_down.weight'"):
        load(small_model("Flux.1"), None, tensors)
