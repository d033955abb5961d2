"""Models of other packs: Nunchaku's are refused, and nothing is said of weights that only GGUF's layers read."""

import pytest
import torch
from lora_models import SMALL, build, fill, lora_for


class ComfyFluxWrapper(torch.nn.Module):
    """As Nunchaku's pack wraps a model whose weights the host does not see; that pack needs CUDA and its own wheel."""

    def __init__(self, model):
        super().__init__()
        self.model = model


ComfyFluxWrapper.__module__ = "/somewhere/custom_nodes/ComfyUI-nunchaku.wrappers.flux"


class GGMLTensor(torch.Tensor):
    """As GGUF's pack keeps weights: bytes of another shape than the weight's."""


GGMLTensor.__module__ = "/somewhere/custom_nodes/ComfyUI-GGUF.ops"


@pytest.fixture
def room(pack):
    return pack.nodes.lora


def own(name):
    """A small model of the test's own, to be taken apart."""
    import comfy.model_patcher
    model = build(name, "cpu", SMALL[name])
    fill(model)
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def test_a_nunchaku_model_is_refused_by_name(room):
    model = own("Flux.1")
    tensors = lora_for(model, "lora")
    model.model.diffusion_model = ComfyFluxWrapper(model.model.diffusion_model)
    with pytest.raises(ValueError, match="model: a Nunchaku model .* cannot patch"):
        room.applying.patching.apply_lora(model, None, room.file.lora_files.LoraFile(tensors, {}), 1.0, 1.0, ())


def packed(key):
    """A small SD3 of the test's own with one weight as GGUF's pack keeps it."""
    model = own("SD3-medium")
    layer = model.model.diffusion_model.joint_blocks[0].x_block.get_submodule(key)
    layer.weight = torch.nn.Parameter(layer.weight.data.as_subclass(GGMLTensor), requires_grad=False)
    assert type(layer.weight) is GGMLTensor
    return model


@pytest.mark.parametrize("kind, told", [("lora", True), ("dora", False)])
def test_a_weight_that_the_host_cannot_unpack_gives_no_energy(kind, told, room):
    model = packed("mlp.fc1")
    lora = room.file.lora_files.LoraFile(lora_for(model, kind), {})
    _, _, result = room.applying.patching.apply_lora(model, None, lora, 1.0, 1.0, ())
    energies = room.inspection.editor_overview.run_energies(lora, result, model)
    assert ("J00" in energies) == told and "J01" in energies


@pytest.mark.parametrize("key", ["mlp.fc1", "attn.qkv"])
def test_a_lora_is_saved_over_weights_that_the_host_cannot_unpack_and_a_dora_is_refused(key, room, output_folder):
    model = packed(key)
    def save(kind):
        lora = room.file.lora_files.LoraFile(lora_for(model, kind), {})
        source = room.saving.save_lora.Source(kind, lora, 0.5, 0.5, "")
        return room.saving.save_lora.save([source], f"packed {kind}", "kohya", 0, {}, model)

    assert save("lora").path.exists()
    with pytest.raises(ValueError, match=rf"model: expected weights that the host can read, .*{key}.weight"):
        save("dora")


def test_a_dora_beside_weights_that_the_host_cannot_unpack_stays_a_patch_and_the_report_says_so(room):
    model = packed("mlp.fc1")
    stack = room.applying.stack
    results = {kind: stack.apply_bypassed(model, None, room.file.lora_files.LoraFile(lora_for(model, kind), {}), 1.0,
                                          1.0, ()) for kind in ("lora", "dora")}
    assert not results["lora"][0].patches
    assert list(results["dora"][0].patches) == ["diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"]
    assert "1 (DoRA on a weight that another pack packs" in results["dora"][2].notes[-1]
