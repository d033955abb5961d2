"""The report of what was applied: what every block got, what reached nothing, and why."""
import json

import lora_models as small
import pytest
import torch
from lora_models import small_clip, small_model


def test_the_report_says_what_every_block_got(load, pack):
    model = small_model("SD1.5")
    tensors = {name: t for name, t in small.lora_for(model, "lora").items() if "input_blocks_3" not in name}
    _, _, result = load(model, None, tensors, "IN*=0.5; IN05=0; OUT*.attn=0.25")
    text = pack.nodes.lora.applying.apply_report.report("style.safetensors", result)
    assert "IN00-IN02=0.5; IN04=0.5; IN05=0; IN06-IN11=0.5; MID=1;" in text and "OUT03-OUT11=0.25/1" in text
    assert "not in the LoRA: IN03\n" in text
    assert "muted in the model: " in text and "input_blocks.5." in text


def test_the_blocks_for_the_page_stand_in_the_models_order_with_their_ratio(pack):
    model, clip = small_model("SD1.5"), small_clip()
    tensors = {name: t for name, t in small.lora_for(model, "lora").items() if "input_blocks_3" not in name}
    output = pack.nodes.lora.nodes.ApplyLora.execute(model, tensors, 1.0, 1.0, "IN*=0.5; OUT*.attn=0.25; TE=0.1", clip)
    (text,), (listed,) = output.ui["text"], output.ui["bottega_blocks"]
    assert output.ui["bottega_lora"] == [None]  # no file has them
    blocks = json.loads(listed)
    by_name = {row["block"]: row for row in blocks}
    assert text == output.result[2] and list(by_name)[:2] == ["BASE.time_embed", "IN00"]
    assert by_name["IN03"] == {"block": "IN03", "in_file": False, "ratio": 0.5}
    assert by_name["IN04"]["in_file"] and by_name["MID"]["ratio"] == 1 == by_name["OUT03"]["ratio"]
    assert by_name["TE.clip_l.00"] == {"block": "TE.clip_l.00", "in_file": False, "ratio": 0.1}
    assert [row["block"] for row in blocks][-1] == "TE.clip_l.01" and len(blocks) == 30


def test_whole_fused_weights_are_reported_when_a_selector_asks_for_a_part(load, pack):
    model = small_model("Flux.1")
    _, _, result = load(model, None, small.lora_for(model, "lora"), "D00.q=0; S*.attn=0")
    unsplit = {change.target for change in result.components[0].changes if change.unsplit}
    assert "diffusion_model.double_blocks.0.img_attn.qkv.weight" in unsplit
    assert "diffusion_model.single_blocks.1.linear1.weight" in unsplit
    assert "diffusion_model.double_blocks.1.img_attn.qkv.weight" not in unsplit
    assert "fused" in pack.nodes.lora.applying.apply_report.report("x", result)


@pytest.mark.parametrize("blocks, named", [
    ("J00=0.5; J01.audio*=0", None),
    ("J01.x_block.attn=0; J00.mod=0", "1 statement of blocks reaches nothing that the LoRA changes: J00.mod=0"),
    ("TE*=0; J00=1", "TE*=0"), ("J00,BASE.t_embedder=0", "BASE.t_embedder=0"), ("default=0.5; J*=0", ""),
])
def test_a_statement_that_reaches_nothing_of_the_file_is_named(blocks, named, pack):
    room, model = pack.nodes.lora, small_model("SD3-medium")
    tensors = {key: t for key, t in small.lora_for(model, "lora").items() if "_blocks_" in key and "adaLN" not in key}
    spec = room.block_weights.block_language.parse(blocks)
    file = room.file.lora_files.LoraFile(tensors, {})
    if named is None:
        with pytest.raises(ValueError, match="matches no weight"):
            room.applying.patching.apply_lora(model, None, file, 1.0, 1.0, spec)
        return
    result = room.applying.patching.dry_run(model, None, file, 1.0, 1.0, spec)
    text = room.applying.apply_report.report("x", result)
    assert named in text and ("reaches nothing" in text) == bool(named)


def test_keys_that_match_nothing_are_listed(load, pack):
    model = small_model("SD1.5")
    tensors = {f"lora_unet_nowhere.lora_{way}.weight": torch.ones(2, 2) for way in ("up", "down")}
    new_model, new_clip, result = load(model, None, tensors | small.lora_for_clip(small_clip()))
    text = pack.nodes.lora.applying.apply_report.report("odd.safetensors", result)
    assert new_model is model and new_clip is None
    assert text.splitlines()[0].startswith("odd.safetensors: nothing is applied, because no key of the file belongs to")
    assert "no CLIP is connected: 36 keys (lora_te_text_model" in text
    assert "2 keys (lora_unet_nowhere.lora_up.weight, lora_unet_nowhere.lora_down.weight)" in text


def test_why_nothing_is_applied_is_what_stands_below(load, pack):
    report, model = pack.nodes.lora.applying.apply_report.report, small_model("SD3-medium")
    boft = {key: t for key, t in small.lora_for(model, "boft").items() if not key.endswith("alpha")}
    said = report("x", load(model, None, boft)[2])
    assert "because 25 weights cannot be changed (a BOFT without alpha, which" in said
    first, second = ({key: t for key, t in small.lora_for(model, "lora").items()
                      if f"joint_blocks_{n}_x_block_mlp_fc1" in key} for n in (0, 1))
    short = {key: t[:, :-1] if "down" in key else t for key, t in first.items()}
    text = report("x", load(model, None, short | second, "J01=0")[2])
    assert "because 1 weight cannot be changed (the LoRA has 512x127, the model 512x128), and the strength or" in text
