"""A LoRA from memory: the same language, patches and report as one from a file."""
import lora_models as small
import pytest
import torch
from lora_models import small_model


@pytest.fixture(scope="module")
def model():
    return small_model("SD3-medium")


@pytest.fixture(scope="module")
def lora(model):
    return small.lora_for(model, "lora")


def patches(model):
    return {key: [(strength, weight) for strength, _, weight, *_ in entries] for key, entries in model.patches.items()}


def test_it_patches_what_the_file_would(pack, model, lora, tmp_path):
    nodes, patching = pack.nodes.lora.nodes, pack.nodes.lora.applying.patching
    language = pack.nodes.lora.block_weights.block_language
    pack.nodes.lora.file.lora_files.write_lora(tmp_path / "hand.safetensors", lora, {})
    blocks = "J00=0.5; *.mlp=0"
    file = pack.nodes.lora.file.lora_files.read_lora(tmp_path / "hand.safetensors")
    from_file, _, _ = patching.apply_lora(model, None, file, 0.8, 1.0, language.parse(blocks))
    from_memory, clip, report = nodes.ApplyLora.execute(model, lora, 0.8, 1.0, blocks).result
    assert patches(from_memory) == patches(from_file) != {} and clip is None
    assert report.startswith("LoRA from memory: changes ")


def test_muting_everything_gives_the_model_itself(pack, model, lora):
    assert pack.nodes.lora.nodes.ApplyLora.execute(model, lora, 1.0, 1.0, "default=0").result[0] is model


def test_an_empty_lora_changes_nothing_and_says_so(pack, model):
    result, _, report = pack.nodes.lora.nodes.ApplyLora.execute(model, {}, 1.0, 1.0, "").result
    assert result is model and "nothing is applied" in report


def test_it_takes_what_the_core_trainer_keeps_in_memory(pack, model):
    weight = model.model.state_dict()["diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"]
    name = "diffusion_model.joint_blocks.0.x_block.mlp.fc1"
    core = {f"{name}.lora_up.weight": torch.ones(weight.shape[0], 2, dtype=torch.bfloat16),
            f"{name}.lora_down.weight": torch.ones(2, weight.shape[1], dtype=torch.bfloat16),
            f"{name}.alpha": torch.tensor(1.0)}
    patched = pack.nodes.lora.nodes.ApplyLora.execute(model, core, 1.0, 1.0, "").result[0]
    assert list(patched.patches) == [f"{name}.weight"]
