"""Save LoRA in the executor: from a stack, from memory, and what it refuses."""
from pathlib import Path

import lora_models as small
import pytest
from lora_models import metadata_of, off, small_model, weights


def graph(**inputs):
    node = lambda kind, **given: {"class_type": kind, "inputs": given}
    return {
        "1": node("UNETLoader", unet_name=small.SMALL_FILE, weight_dtype="default"),
        "2": node("BottegaStackLora", lora_name="save_ink.safetensors", strength_model=0.5, strength_clip=1.0,
                  blocks="J00=0.5"),
        "3": node("BottegaSaveLora", name="baked", format="kohya", rank=0, metadata="", blocks="",
                  **{"stack": ["2", 0], "model": ["1", 0], **inputs}),
        "4": node("PreviewAny", source=["3", 0]),
    }


@pytest.fixture(scope="module")
def shop(host):
    return small.stock(host, save_ink=(small.lora_for(small_model("SD3-medium"), "lora"), {"ss_steps": "5"}))


def test_it_runs_in_the_executor_and_the_host_lists_the_file(shop):
    import folder_paths
    outputs, _ = shop.run(graph())
    path = outputs["4"]["text"][0]
    assert outputs["3"]["text"][0].startswith("Saved baked.safetensors: 25 lora;")
    assert folder_paths.get_full_path("loras", "baked.safetensors") == path and metadata_of(path)["ss_steps"] == "5"


@pytest.mark.parametrize("inputs, message", [
    ({"metadata": "{"}, "metadata: expected a JSON object"), ({"metadata": "[1]"}, "metadata: expected a JSON object"),
    ({"name": ".."}, "name: expected a file name"), ({"blocks": "J00=lots"}, "is not a number"),
    ({"format": "other"}, "format")])
def test_bad_input_is_refused_before_anything_runs(inputs, message, shop):
    prompt = graph()
    prompt["3"]["inputs"] |= inputs
    assert message in str(shop.validate(prompt)[1])


def test_a_stack_and_a_lora_at_once_or_neither_is_an_error(shop, pack):
    node = pack.nodes.lora.nodes.SaveLora
    with pytest.raises(ValueError, match="stack: expected a stack or a lora, got neither"):
        node.execute("", "x", "comfy", 0, "")
    with pytest.raises(ValueError, match="got both"):
        node.execute("", "x", "comfy", 0, "", stack=(), lora={})
    with pytest.raises(ValueError, match="blocks: expected nothing beside a stack"):
        node.execute("J00=1", "x", "comfy", 0, "", stack=())


def test_a_lora_from_memory_is_saved_with_its_blocks(shop, pack, core, source, expected):
    model = small_model("SD3-medium")
    tensors = small.lora_for(model, "lokr")
    path = pack.nodes.lora.nodes.SaveLora.execute("J00=0.5", "memory", "comfy", 0, "", lora=tensors,
                                                  model=model).result[0]
    assert off(core(Path(path), model)[0], expected(model, [source(tensors, 1.0, "J00=0.5")])[0]) == {}


@pytest.mark.parametrize("blocks, settings", [
    ("0.5,0,A," + ",".join("R" * 10), dict(vector_mode="inspire", seed=7)),
    ("D00=A; D01=B; S00=U", dict(a=0.5, seed=3))])
def test_a_lora_from_memory_is_saved_with_its_blocks_read_as_load_lora_reads_them(blocks, settings, shop, pack, core):
    lora, model = pack.nodes.lora, small_model("Flux.1")
    tensors = small.lora_for(model, "lora")
    path = lora.nodes.SaveLora.execute(blocks, "read", "comfy", 0, "", lora=tensors, model=model, **settings).result[0]
    loaded = lora.nodes.ApplyLora.execute(model, tensors, 1.0, 1.0, blocks, **settings).result[0]
    assert off(core(Path(path), model)[0], weights(loaded)) == {}
