"""The node in real graphs, run by the host's own executor."""
import json

import lora_models as small
import pytest
import torch
from lora_models import small_model
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def shop(host):
    """A small SD3 file in the host's folders, a LoRA for it, and a graph that loads both."""
    tensors = small.lora_for(small_model("SD3-medium"), "lora")
    return small.stock(host, hand=(tensors, None), told=(tensors, {"modelspec.trigger_phrase": "inkstyle"}))


def graph(blocks="", lora_name="hand.safetensors", **inputs):
    return {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": small.SMALL_FILE, "weight_dtype": "default"}},
        "2": {"class_type": "BottegaLoadLora", "inputs": {
            "model": ["1", 0], "lora_name": lora_name, "strength_model": 1.0, "strength_clip": 1.0, "blocks": blocks,
            **inputs}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 2]}},
    }


def test_the_report_reaches_the_node_and_the_output(shop):
    outputs, _ = shop.run(graph("J00=0.5; BASE=0"))
    text = outputs["2"]["text"][0]
    assert text.startswith("hand.safetensors: changes ") and "J00=0.5; J01=1" in text
    assert "muted in the model" in text and outputs["3"]["text"][0] == text


@pytest.mark.parametrize("name, words, metadata", [
    ("told", "inkstyle", {"modelspec.trigger_phrase": "inkstyle"}), ("hand", "", {})])
def test_trigger_words_and_metadata_of_the_file_come_out(name, words, metadata, shop):
    more = {number: {"class_type": "PreviewAny", "inputs": {"source": ["2", slot]}} for number, slot in
            (("4", 3), ("5", 4))}
    outputs, _ = shop.run(graph("J00=0.5", f"{name}.safetensors") | more)
    assert outputs["4"]["text"][0] == words and json.loads(outputs["5"]["text"][0]) == metadata


def test_only_the_lora_node_runs_again_when_its_blocks_change_and_the_file_is_not_read_again(shop, monkeypatch):
    import comfy.utils
    shop.run(graph("J00=0.25"))
    monkeypatch.setattr(comfy.utils, "load_torch_file", lambda *args, **kwargs: pytest.fail("a file was read"))
    _, ran = shop.run(graph("J00=0.75"))
    assert set(ran) == {"2", "3"}


def test_a_file_written_anew_under_the_same_name_is_noticed(shop):
    path = shop.tmp / "output" / "loras" / "again.safetensors"
    save_file(small.lora_for(small_model("SD3-medium"), "lora"), path)
    shop.run(graph("", "again.safetensors"))
    assert shop.run(graph("", "again.safetensors"))[1] == []
    save_file({"lora_unet_nowhere.diff": torch.ones(2, 2)}, path)
    outputs, ran = shop.run(graph("", "again.safetensors"))
    assert "2" in ran and "nothing is applied" in outputs["2"]["text"][0]


def test_text_that_cannot_be_read_is_refused_before_anything_runs(shop):
    _, errors = shop.validate(graph("J00=lots"))
    assert 'blocks: "lots" in "J00=lots" is not a number' in str(errors)


def test_a_name_that_the_model_does_not_have_is_an_error_of_the_node(shop):
    with pytest.raises(Exception, match='"IN04" names no block of this model, which has .*J00-J01'):
        shop.run(graph("IN04=1"))


def test_linked_text_is_read_when_the_node_runs(shop):
    prompt = graph() | {"4": {"class_type": "PrimitiveString", "inputs": {"value": "J00=lots"}}}
    prompt["2"]["inputs"]["blocks"] = ["4", 0]
    with pytest.raises(Exception, match='"lots" in "J00=lots" is not a number'):
        shop.run(prompt)
    prompt["4"]["inputs"]["value"] = "J00=0.5"
    assert "J00=0.5" in shop.run(prompt)[0]["2"]["text"][0]


@pytest.mark.parametrize("name", ["gone.safetensors", "../hand.safetensors", "/etc/passwd"])
def test_a_name_that_the_host_does_not_list_is_refused(name, shop):
    _, errors = shop.validate(graph("", name))
    assert "lora_name" in str(errors)


@pytest.mark.parametrize("name", ["gone.safetensors", "../../secret.safetensors"])
def test_a_linked_name_outside_the_lora_folders_is_an_error_that_names_it(name, shop, pack):
    save_file({"x": torch.ones(1)}, shop.tmp / "secret.safetensors")
    node = pack.nodes.lora.nodes.LoadLora
    with pytest.raises(FileNotFoundError, match=f"lora_name: there is no {name} in the loras folders"):
        node.execute(small_model("SD3-medium"), name, 1.0, 1.0, "")


def test_a_damaged_file_is_an_error_that_names_it_and_the_next_run_works(shop):
    (shop.tmp / "output" / "loras" / "torn.safetensors").write_bytes(b"PK not tensors")
    with pytest.raises(Exception, match=r"torn.safetensors is not a whole safetensors file"):
        shop.run(graph("", "torn.safetensors"))
    assert shop.run(graph("J01=0.5"))[0]["2"]["text"]


def test_the_inputs_stand_in_the_order_that_workflows_rely_on(pack):
    schema = pack.nodes.lora.nodes.LoadLora.define_schema()
    assert [i.id for i in schema.inputs] == [
        "model", "clip", "lora_name", "strength_model", "strength_clip", "blocks", "vector_mode", "seed", "a", "b",
        "apply_as"]
    assert [o.io_type for o in schema.outputs] == ["MODEL", "CLIP", "STRING", "STRING", "STRING"]
    assert all(port.tooltip for port in schema.inputs + schema.outputs)
