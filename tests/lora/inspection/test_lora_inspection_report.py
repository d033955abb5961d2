"""What the inspection says of LoRAs whose truth is known, and what its chart draws."""
import json
import re

import lora_models as small
import pytest
import torch
from lora_models import KINDS, small_model
from real_host import GraphError
from safetensors.torch import save_file

TAGS = {"10_ink": {"ink": 30, "a house": 4}, "5_wash": {"ink": 2, "wash": 9}}


@pytest.fixture(scope="module")
def room(pack):
    return pack.nodes.lora.inspection.inspection_report


@pytest.fixture
def look(room, pack):
    def look(tensors, model=None, metadata=None):
        file = pack.nodes.lora.file.lora_files.LoraFile(tensors, metadata or {})
        found = room.inspect(file, model)
        return found, room.describe("x.safetensors", file, found)
    return look


@pytest.mark.parametrize("kind", KINDS)
def test_the_energies_with_a_model_are_the_norms_of_what_it_gains(kind, look, pack):
    model = small_model("SD3-medium")
    tensors = small.lora_for(model, kind)
    lora = pack.nodes.lora.file.lora_files.LoraFile(tensors, {})
    before = small.weights(model)
    after = small.weights(pack.nodes.lora.applying.patching.apply_lora(model, None, lora, 1.0, 1.0, ())[0])
    places = pack.nodes.lora.model.blocks.model_places(before)
    squares = {}
    for key, place in places.items():
        gain = float((after[key].double() - before[key].double()).norm()) ** 2
        squares[place.alias] = squares.get(place.alias, 0.0) + gain
    found, text = look(tensors, model)
    for alias, energy in found.blocks.items():
        norm = energy.norm if energy else 0.0
        assert norm == pytest.approx(squares[alias] ** 0.5, rel=1e-4, abs=1e-5)
    whole = re.search(r"Norm of the whole change, text encoders aside: (.*)\n", text)
    assert float(whole[1]) == pytest.approx(sum(squares.values()) ** 0.5, rel=0.01)
    assert "not measured" not in text and "without a model" not in text


def test_the_energies_without_a_model_are_the_same_where_they_need_none(look):
    tensors = small.lora_for(small_model("SD3-medium"), "lora")
    (alone, text), (there, _) = look(tensors), look(tensors, small_model("SD3-medium"))
    blocks = ("J00", "J01")
    assert [alone.blocks[b].norm for b in blocks] == pytest.approx([there.blocks[b].norm for b in blocks])
    assert "read without a model: connect one" in text


def test_what_depends_on_the_model_is_said_to_be_unknown_without_it(look):
    found, text = look(small.lora_for(small_model("SD3-medium"), "dora"))
    assert found.blocks["J00"].unknown == found.blocks["J00"].weights
    assert "LoRA with DoRA on " in text and "not measured" in text and "J: 00 ?, 01 ?" in text
    assert "Norm of the whole change, text encoders aside: ?" in text


@pytest.mark.parametrize("kind, said", [("lora", "LoRA on 24 weights, rank 2, alpha 1.5"), ("oft", "OFT on "),
                                        ("lokr", "LoKr on 25 weights, alpha 1.5"), ("diff", "full difference on "),
                                        ("loha", "LoHa on 25 weights, rank 2"), ("boft", "BOFT on "),
                                        ("glora", "GLoRA on 24 weights, rank 2"), ("set", "replaced weight on ")])
def test_formats_ranks_and_alphas_are_named(kind, said, look):
    tensors = small.lora_for(small_model("SD3-medium"), kind)
    assert said in look(tensors)[1]


def test_mixed_ranks_are_given_as_a_range_and_kernels_as_locon(look):
    name = "diffusion_model.joint_blocks.{}.x_block.mlp.fc1"
    tensors = {name.format(i) + end: t for i in (0, 1)
               for end, t in small.adapter("lora", (8, 8), rank=2 + 6 * i).items()}
    assert "LoRA on 2 weights, rank 2 to 8, alpha 1.5" in look(tensors)[1]
    assert "LoCon on " in look(small.lora_for(small_model("SD1.5"), "lora"))[1]


def test_the_metadata_answers_what_a_person_asks(look, pack):
    metadata = {"ss_base_model_version": "sdxl_base_v1-0", "ss_sd_model_name": "x.safetensors", "ss_steps": "800",
                "ss_tag_frequency": json.dumps(TAGS), "modelspec.trigger_phrase": "inkstyle",
                "ss_network_module": "None"}
    text = look({}, metadata=metadata)[1]
    assert "base model: sdxl_base_v1-0, x.safetensors" in text and "trigger words: inkstyle" in text
    assert "words in its captions: ink (32), wash (9), a house (4)" in text and "trained with" not in text
    assert json.loads(pack.nodes.lora.file.file_metadata.metadata_text(metadata)) == metadata


@pytest.mark.parametrize("broken", ["", "[]", "{}", "3", "{\"a\": 1}", "{\"a\": {\"x\": \"many\"}}", "null", "{"])
def test_metadata_that_cannot_be_read_is_no_obstacle(broken, look):
    assert "words in its captions" not in look({}, metadata={"ss_tag_frequency": broken})[1]


def test_with_a_model_it_says_what_is_missing_and_what_would_not_fit(look):
    model = small_model("SD3-medium")
    tensors = {k: t for k, t in small.lora_for(model, "lora").items() if "joint_blocks_0" not in k}
    wrong = small.adapter("lora", (12, 20))
    tensors |= {"lora_unet_joint_blocks_0_x_block_mlp_fc1" + end: t for end, t in wrong.items()}
    tensors |= {"lora_unet_nowhere" + end: t for end, t in wrong.items()}
    _, text = look(tensors, model)
    assert re.search("blocks of the model without a change: .*J00\n", text)
    assert "the LoRA has 12x20, the model 512x128" in text
    assert "no weight of this model answers to it: 3 keys" in text


def test_text_encoders_are_measured_beside_a_model(look):
    found, text = look(small.lora_for_clip(small.small_clip()), small_model("SD1.5"))
    assert "whole change" not in text and "Norm of the change in each block" in text
    assert {"TE.clip_l.00", "TE.clip_l.01"} <= found.blocks.keys() and found.blocks["IN01"] is None


def test_layers_of_text_encoders_stand_in_their_order(look):
    numbers = [f"{n:02d}" for n in range(12)]
    tensors = {f"lora_te_text_model_encoder_layers_{n}_mlp_fc1{end}": tensor for n in sorted(map(str, range(12)))
               for end, tensor in small.adapter("lora", (64, 32)).items()}
    found, _ = look(tensors, small_model("SD1.5"))
    assert [alias for alias in found.blocks if alias.startswith("TE.")] == [f"TE.clip_l.{n}" for n in numbers]


def test_an_empty_lora_is_described(look):
    assert "no adapter that ComfyUI knows" in look({})[1]


def test_the_blocks_stand_in_families(room):
    names = ["IN00", "IN11", "MID", "BASE.time_embed", "TE.clip_l.05", "TE.clip_l.BASE", "weird.list.3", "DOWN0.07"]
    found = {label: [short for short, _ in rows] for label, rows in room.families(dict.fromkeys(names)).items()}
    assert found == {"IN": ["00", "11"], "MID": ["MID"], "BASE": ["time_embed"], "TE.clip_l": ["05", "BASE"],
                     "weird.list": ["3"], "DOWN0": ["07"]}


def test_the_chart_draws_bars_as_high_as_the_norms(pack):
    blocks = pack.nodes.charts.chart_types.block_bars
    draw = pack.nodes.charts.drawing.draw
    theme = pack.nodes.charts.drawing.theme.LIGHT
    bars = [blocks.Bar(f"{i:02}", value) for i, value in enumerate((1.0, 2.0, 0.0, None))]
    drawn = draw.render(blocks.block_chart([blocks.Family("D", bars, 1.0)], "t", "s", theme), theme.paper)[0] * 255

    def height(colour, index):
        step = blocks.WIDEST
        left = blocks.MARGIN + blocks.LABEL + step * index + 4
        column = drawn[blocks.HEAD:blocks.HEAD + blocks.ROW, round(left):round(left + step / 2)]
        return int(((column - torch.tensor(colour)).abs().amax(2) < 8).all(1).sum())

    assert height(theme.loss, 1) == pytest.approx(blocks.BAR_HEIGHT, abs=1)
    assert height(theme.gain, 0) == pytest.approx(blocks.BAR_HEIGHT / 2, abs=1)
    assert height(theme.gain, 2) == 0 and height(theme.loss, 3) > 0


def test_it_runs_in_the_executor(host):
    loras = host.tmp / "output" / "loras"
    loras.mkdir(parents=True, exist_ok=True)
    save_file(small.lora_for(small_model("Flux.1"), "lora"), loras / "look.safetensors", {"ss_steps": "12"})
    outputs, _ = host.run({
        "1": {"class_type": "BottegaInspectLora", "inputs": {"lora_name": "look.safetensors"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["1", 2]}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 1]}}})
    assert outputs["1"]["text"][0].startswith("look.safetensors: ") and outputs["1"]["images"]
    assert outputs["2"]["text"][0] == outputs["1"]["text"][0]
    assert json.loads(outputs["3"]["text"][0]) == {"ss_steps": "12"}


@pytest.mark.parametrize("inputs", [{}, {"lora_name": "[None]"}, {"lora_name": None}])
def test_without_any_lora_it_asks_for_one(host, inputs):
    with pytest.raises(Exception, match="lora_name: expected a LoRA file"):
        host.run({"1": {"class_type": "BottegaInspectLora", "inputs": inputs}})


def test_a_file_that_is_not_there_is_named_before_anything_runs(host):
    _, errors = host.validate({"1": {"class_type": "BottegaInspectLora", "inputs": {"lora_name": "gone.safetensors"}}})
    assert "lora_name: there is no gone.safetensors in the loras folders." in str(errors)


class Trained:
    """A node that gives a LoRA from memory, as Train LoRA does."""
    RETURN_TYPES, FUNCTION, CATEGORY = ("LORA_MODEL",), "give", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def give(self):
        return small.lora_for(small_model("Flux.1"), "lora"),


class Damaged(Trained):
    def give(self):
        return {"lora_unet_x.diff": torch.full((2, 2), torch.nan)},


@pytest.mark.parametrize("node", ["BottegaInspectLora", "BottegaSaveLora"])
def test_a_damaged_lora_from_memory_is_named(host, node, monkeypatch):
    monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, "DamagedForTest", Damaged)
    own = {"blocks": "", "name": "x", "format": "comfy", "rank": 0, "metadata": ""} if "Save" in node else {}
    with pytest.raises(GraphError, match="lora: the LoRA from memory is damaged: lora_unet_x.diff holds NaN"):
        host.run({"made": {"class_type": "DamagedForTest", "inputs": {}},
                  "1": {"class_type": node, "inputs": {"lora": ["made", 0], **own}}})


@pytest.mark.parametrize("name", ["[None]", None, "gone.safetensors"])
def test_what_lora_name_says_does_not_matter_beside_a_lora_from_memory(host, name, monkeypatch):
    monkeypatch.setitem(host.nodes.NODE_CLASS_MAPPINGS, "TrainedForTest", Trained)
    outputs, _ = host.run({
        "trained": {"class_type": "TrainedForTest", "inputs": {}},
        "1": {"class_type": "BottegaInspectLora", "inputs": {"lora": ["trained", 0], "lora_name": name}}})
    assert outputs["1"]["text"][0].startswith("LoRA from memory: ")


def te_and_model():
    """PEFT's factors for a weight of the model and one of a text encoder, whose alpha stands in the header alone."""
    sides = {"diffusion_model.joint_blocks.0.x_block.attn.proj": 64,
             "text_encoder.text_model.encoder.layers.0.mlp.fc1": 8}
    tensors = {f"{name}.lora_{side}.weight": torch.ones((4, wide) if side == "A" else (wide, 4))
               for name, wide in sides.items() for side in "AB"}
    return tensors, {"lora_adapter_metadata": json.dumps({"r": 4, "lora_alpha": 1})}


def test_a_text_encoder_whose_alpha_is_in_the_header_has_the_same_norm_with_a_model(room, pack, tmp_path):
    tensors, header = te_and_model()
    save_file(tensors, tmp_path / "te.safetensors", header)
    file = pack.nodes.lora.file.lora_files.read_lora(tmp_path / "te.safetensors")
    for model in (None, small_model("SD3-medium")):
        encoders = [found.norm for name, found in room.inspect(file, model).blocks.items() if name.startswith("TE.")]
        assert encoders == pytest.approx([8.0])      # 64 numbers of 4 * alpha / rank


@pytest.mark.parametrize("stray", ["unknown.thing.lora_up.weight",
                                   "lora_te_text_model_encoder_layers_7_mlp_fc1.hada_w1_a"])
def test_half_an_adapter_elsewhere_hides_nothing_that_loads(stray, look, pack, tmp_path):
    good = small.lora_for(small_model("SD3-medium"), "lora")
    tensors, model = good | {stray: torch.ones(8, 4)}, small_model("SD3-medium")
    lora = pack.nodes.lora
    assert lora.applying.patching.apply_lora(model, None, lora.file.lora_files.LoraFile(tensors, {}), 1, 1, ())[2]
    for own in (None, model):
        (found, text), (wanted, _) = look(tensors, own), look(good, own)
        assert {name: energy for name, energy in found.blocks.items() if energy} == {
            name: energy for name, energy in wanted.blocks.items() if energy} and stray in text
        assert own or "- not applied, half an adapter, whose other half is missing: 1 key" in text
    save_file(tensors, tmp_path / "stray.safetensors")
    save_file(good, tmp_path / "good.safetensors")
    seen = [lora.inspection.editor_overview.overview(tmp_path / f"{name}.safetensors") for name in ("stray", "good")]
    assert seen[0] == seen[1]
