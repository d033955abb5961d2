"""Adapters whose parts do not fit together, seen and saved without a model: one sentence, and the rest all the same."""
import lora_models as small
import pytest
import torch
from lora_models import adapter, small_model
from safetensors.torch import save_file

MODULE = "lora_unet_joint_blocks_0_x_block_mlp_fc1"
DAMAGE = {
    "vector": lambda t: t.flatten() if t.ndim else t,
    "turned": lambda t: t.transpose(0, 1).contiguous() if t.ndim > 1 else t,
    "cut": lambda t: t[:-1].contiguous() if t.ndim else t,
    "deeper": lambda t: t[None].contiguous() if t.ndim else t,
    "number": lambda t: t.flatten()[0].clone(),
}


def damaged(kind, how):
    """Files with one adapter of which all parts, or one of the first three, are damaged."""
    parts = adapter(kind, (16, 8))
    for chosen in (list(parts), *([each] for each in list(parts)[:3])):
        yield {MODULE + end: DAMAGE[how](t) if end in chosen else t for end, t in parts.items()}


@pytest.fixture
def ways(lora, room, source, tmp_path, output_folder):
    """What reads a file without a model, by name."""
    report, file = lora.inspection.inspection_report, tmp_path / "damaged.safetensors"

    def inspect(read, model=None):
        return report.describe("x", read, report.inspect(read, model))

    def overview(read):
        save_file(read.tensors, file)
        return lora.inspection.editor_overview.overview(file)

    def save(read, rank=0):
        return room.save([source(read.tensors, 0.5)], "damaged", "kohya", rank, {}).text
    return {"inspect": inspect, "overview": overview, "save": save, "smaller": lambda read: save(read, 1),
            "with a model": lambda read: inspect(read, small_model("SD3-medium"))}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("kind", small.KINDS)
def test_whatever_is_damaged_there_is_a_report_or_one_sentence(kind, how, ways, lora):
    for tensors in damaged(kind, how):
        try:
            read = lora.file.lora_files.from_memory(tensors)
        except ValueError:
            continue
        for way in ways.values():
            try:
                way(read)
            except ValueError as error:
                assert str(error).startswith(("LoRA", "lora", "model", "blocks", "stack"))


def test_what_does_not_fit_is_named_with_its_shapes_and_the_rest_is_seen_and_saved(ways, lora):
    whole = {f"lora_unet_joint_blocks_1_x_block_mlp_fc1{end}": t for end, t in adapter("lora", (16, 8)).items()}
    broken = {f"{MODULE}.lora_up.weight": torch.ones(16, 3), f"{MODULE}.lora_down.weight": torch.ones(2, 8)}
    read = lora.file.lora_files.from_memory(whole | broken)
    for way in ("inspect", "save", "smaller"):
        said = ways[way](read)
        assert "the parts of the lora do not fit together: up 16x3, down 2x8: 2 keys (" + MODULE in said
        assert "LoRA on 1 weight," in said or "1 lora" in said
    assert ways["overview"](read)["unplaced"] == 1
