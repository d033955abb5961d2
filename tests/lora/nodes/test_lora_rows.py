"""LoRAs in rows: what a line says, what is muted, and the graph."""
import json

import lora_models as small
import pytest
from lora_models import small_clip, small_model, weights


@pytest.fixture
def rows(lora, monkeypatch):
    """What rows say, with three files in the loras folders."""
    room = lora.applying.lora_rows
    listed = ["ink.safetensors", "style/Wash.safetensors", "twin.safetensors"]
    monkeypatch.setattr(room.folder_paths, "get_filename_list", lambda kind: listed)
    return room.read_rows


def test_each_line_is_a_lora_and_a_muted_one_is_kept_aside(rows):
    found = rows("<lora:ink.safetensors:0.8>\n\n#<lora:gone:1:2:lbw=J00=0>\n# a note\n"
                 "  <lora:wash:0.5:0.25:lbw=J00=0; J01=0.5>  \r\n")
    assert [(layer.name, *layer[1:3], layer.blocks) for layer in found.layers] == [
        ("ink.safetensors", 0.8, 0.8, ""), ("style/Wash.safetensors", 0.5, 0.25, "J00=0; J01=0.5")]
    assert found.muted == ("<lora:gone:1:2:lbw=J00=0>",)
    assert rows("") == ((), ())


@pytest.mark.parametrize("text, said", [
    ("<lora:ink>\nink.safetensors", 'rows: in line 2, "ink.safetensors", expected one LoRA such as <lora:ink:0.8>'),
    ("<lora:ink> <lora:twin>", 'rows: in line 1, "<lora:ink> <lora:twin>", expected one LoRA'),
    ("<lora:gone>", 'there is no "gone" in the loras folders'), ("<lora:ink", "the tag is not closed by >"),
    ("<lora:ink:900>", '"900" is no strength'), ("<lora:ink:lbw=J00=lots>", '"lots" in "J00=lots" is not a number'),
    ("x" * 20_001, "rows: expected at most 20000 characters"),
    ("#\n" * 201, "rows: expected at most 200 lines, got 201")])
def test_a_line_that_cannot_be_read_is_one_sentence(text, said, rows):
    with pytest.raises(ValueError, match="^rows: ") as error:
        rows(text)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_each_bad_line_has_its_sentence_up_to_five(rows):
    with pytest.raises(ValueError) as error:
        rows("gone\n" * 7)
    assert str(error.value).splitlines()[-1] == "rows: 2 more lines cannot be read"


@pytest.fixture(scope="module")
def shop(host):
    tensors = small.lora_for(small_model("SD3-medium"), "lora")
    return small.stock(host, row_ink=(tensors, {"modelspec.trigger_phrase": "inked"}), row_wash=(tensors, None))


TEXT = "<lora:row_ink.safetensors:0.7:lbw=J00=0>\n# <lora:row_ink:3>\n<lora:Row_Wash:-0.4:0.2>"


def test_it_runs_in_the_executor_and_a_bad_line_is_refused_before(shop):
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}
    graph = lambda text: {"1": node("UNETLoader", unet_name=small.SMALL_FILE, weight_dtype="default"),
                          "2": node("BottegaLoraRows", model=["1", 0], rows=text),
                          "3": node("PreviewAny", source=["2", 4])}
    outputs, _ = shop.run(graph(TEXT))
    told = outputs["2"]["text"][0]
    assert told.startswith("2 LoRAs, 2 of them applied.") and told.endswith("Muted: <lora:row_ink:3>")
    assert outputs["3"]["text"][0] == "inked"
    blocks = json.loads(outputs["2"]["bottega_rows"][0])
    assert blocks["row_ink.safetensors"][0].keys() >= {"block", "in_file", "ratio"}
    assert "rows: in line 1" in str(shop.validate(graph("<lora:nowhere:1>"))[1])


def test_it_gives_the_weights_of_a_stack_of_the_same_loras(shop, pack):
    nodes, model, clip = pack.nodes.lora.nodes, small_model("SD3-medium"), small_clip()
    stacked = None
    for name, model_strength, clip_strength, blocks in (("ink", 0.7, 0.7, "J00=0"), ("wash", -0.4, 0.2, "")):
        stacked = nodes.StackLora.execute(f"row_{name}.safetensors", model_strength, clip_strength, blocks,
                                          stacked).args[0]
    found, _, layers, tuples, *_ = nodes.LoraRows.execute(model, TEXT, clip).args
    expected = nodes.ApplyStack.execute(model, stacked, clip).args[0]
    assert small.off(weights(found), weights(expected)) == {} and layers == stacked
    assert tuples == [("row_ink.safetensors", 0.7, 0.7), ("row_wash.safetensors", -0.4, 0.2)]
    first, *_ = nodes.LoraRows.execute(model, "", clip, lora_stack=tuples[:1]).args[2]
    assert first.name == "row_ink.safetensors"


def test_without_rows_everything_comes_back_as_it_came(shop, pack):
    model = small_model("SD3-medium")
    found, clip, layers, tuples, words, told = pack.nodes.lora.nodes.LoraRows.execute(model, "# off\n").args
    assert (found is model, clip, layers, tuples, words) == (True, None, (), [], "") and "nothing is applied" in told


def test_it_runs_again_when_a_file_in_it_is_written_anew(shop, pack):
    node, text = pack.nodes.lora.nodes.LoraRows, "<lora:row_ink>"
    path = shop.tmp / "output" / "loras" / "row_ink.safetensors"
    before = node.fingerprint_inputs(text)
    assert before == node.fingerprint_inputs(text)
    path.write_bytes(path.read_bytes() + b" ")
    assert before != node.fingerprint_inputs(text)
    path.write_bytes(path.read_bytes()[:-1])
