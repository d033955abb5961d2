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


@pytest.fixture
def pair(room, output_folder):
    """pair(kind): a Flux.1 with one packed weight that is fused, and two LoRAs of its q, or of this kind on it all."""
    from lora_models import adapter
    from safetensors.torch import save_file
    model = own("Flux.1")
    layer = model.model.diffusion_model.double_blocks[0].img_attn.qkv
    layer.weight = torch.nn.Parameter(layer.weight.data.as_subclass(GGMLTensor), requires_grad=False)

    def pair(kind):
        slices = {f"transformer.transformer_blocks.0.attn.to_q{end}": tensor for end, tensor in
                  {".lora_A.weight": torch.randn(2, 64), ".lora_B.weight": torch.randn(64, 2)}.items()}
        whole = {f"diffusion_model.double_blocks.0.img_attn.qkv{end}": tensor
                 for end, tensor in adapter("lora" if kind == "slices" else kind, (192, 64)).items()}
        tensors = slices if kind == "slices" else whole
        folder = output_folder / "loras"
        folder.mkdir(parents=True, exist_ok=True)
        for name in "ab":
            save_file(tensors, folder / f"packed_{kind}_{name}.safetensors")
        stack = room.applying.stack
        return model, tuple(stack.Layer(f"packed_{kind}_{name}.safetensors", 1.0, 1.0) for name in "ab"), tensors
    return pair


@pytest.mark.parametrize("kind", ["slices", "loha"])
def test_changes_that_do_not_depend_on_a_packed_weight_are_joined_and_measured(kind, room, pair):
    model, stack, _ = pair(kind)
    report = room.nodes.stack.ApplyStack.execute(model, stack, combine="ties").args[2]
    assert "- D00: cosine +1.000" in report and "not measured" not in report


def test_a_conflict_that_depends_on_a_packed_weight_is_left_unmeasured_and_told(room, pair):
    model, stack, _ = pair("dora")
    report = room.nodes.stack.ApplyStack.execute(model, stack, combine="ties").args[2]
    assert "not measured, of LoRAs whose change depends on weights that another pack packs: 1 weight" in report
    assert "no weight is changed by several" not in report


@pytest.mark.parametrize("kind", ["lora", "loha", "dora"])
@pytest.mark.parametrize("style, count, method", [("diffusers", 1, "sum"), ("diffusers", 2, "sum"),
                                                  ("comfy", 2, "ties")])
def test_over_a_packed_weight_all_is_saved_that_does_not_depend_on_it(style, count, method, kind, room, pair):
    model, _, tensors = pair(kind)
    save = room.saving.save_lora
    sources = [save.Source(name, room.file.lora_files.LoraFile(tensors, {}), 0.5, 0.5, "") for name in "ab"[:count]]
    run = lambda: save.save(sources, f"packed {kind}", style, 0, {}, model, None, save.Combination(method))
    if kind != "dora":
        assert run().path.exists()
        return
    with pytest.raises(ValueError, match="model: expected weights that the host can read, .*qkv.weight"):
        run()
