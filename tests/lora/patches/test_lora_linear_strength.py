"""Changes that the host does not scale by strength, on weights that it patches while it streams them."""
import lora_models as small
import pytest
import torch
from lora_models import small_model

KEY = "diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("kind", ["oft", "boft"])
def test_a_streamed_weight_in_half_precision_changes_as_one_in_full(kind, strength, dtype, lora):
    from comfy.model_patcher import LowVramPatch
    model = small_model("SD3-medium")
    file = lora.file.lora_files.LoraFile(small.lora_for(model, kind), {})
    patched, _, _ = lora.applying.patching.apply_lora(model, None, file, strength, 1.0, ())
    weight = model.model.state_dict()[KEY]
    change = small.weights(patched)[KEY] - weight
    half = weight.to(dtype)
    found = LowVramPatch(KEY, patched.patches)(half.clone()).float() - half.float()
    assert change.norm() > 1
    assert (found - change).norm() < 2 * torch.finfo(dtype).eps * (weight.norm() + change.norm())
