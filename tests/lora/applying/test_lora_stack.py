"""Several LoRAs: the same weights as one loader after another, and one pass over each weight where it can be."""
import itertools

import lora_models as small
import pytest
import torch
from lora_models import small_clip, small_model, weights
from safetensors.torch import save_file

NAMES = {"ink": "lora", "wash": "lora", "gilt": "loha", "frame": "dora", "turn": "oft", "set": "set"}


@pytest.fixture(scope="module")
def stack(pack):
    return pack.nodes.lora.applying.stack


@pytest.fixture(scope="module")
def shop(host):
    """LoRAs of several kinds for a small SD3, in the host's folder."""
    sign = lambda number, tensor: -tensor if number % 2 and tensor.ndim > 1 else tensor
    loras = {f"stack_{name}": ({key: sign(number, tensor) for key, tensor in
                                small.lora_for(small_model("SD3-medium"), kind).items()}, {"ss_tag": name})
             for number, (name, kind) in enumerate(NAMES.items())}
    return small.stock(host, **loras)


@pytest.fixture
def layer(stack, shop):
    return lambda name, model=1.0, clip=1.0, blocks="": stack.Layer(f"stack_{name}.safetensors", model, clip, blocks)


@pytest.fixture
def apply(stack, shop):
    return lambda *layers, model=None, clip=None: stack.apply_stack(model or small_model("SD3-medium"), clip, layers)


@pytest.fixture
def chain(pack, shop):
    """The same LoRAs, one Load LoRA after another."""
    def apply(*layers):
        model = small_model("SD3-medium")
        for each in layers:
            settings = each.settings._asdict()
            model = pack.nodes.lora.nodes.LoadLora.execute(model, *each[:-1], **settings).result[0]
        return model
    return apply


def close(found, expected, bound=2e-6):
    different = {key: float((found[key] - expected[key]).abs().max()) for key in expected}
    return {key: gap for key, gap in different.items() if gap > bound * max(1.0, float(expected[key].abs().max()))}


@pytest.mark.parametrize("names", [("ink", "wash"), ("ink", "wash", "gilt"), ("ink", "frame", "wash"),
                                   ("set", "ink", "wash"), ("turn", "ink", "wash", "turn"), ("ink", "ink")])
def test_a_stack_gives_the_weights_of_a_chain_of_loaders(names, layer, apply, chain):
    layers = [layer(name, strength, 1.0, blocks) for name, strength, blocks in
              zip(names, (0.7, -1.3, 1.0, 0.5), ("", "J00=0.5; *.mlp=0", "", ""), strict=False)]
    model, clip, _ = apply(*layers)
    assert close(weights(model), weights(chain(*layers))) == {} and clip is None


def test_plain_loras_on_one_weight_are_one_patch(layer, apply):
    model, _, _ = apply(layer("ink"), layer("wash", 0.5), layer("ink", -0.25))
    assert {len(patches) for patches in model.patches.values()} == {1}


def test_what_depends_on_the_weight_keeps_its_place(layer, apply):
    model, _, _ = apply(layer("ink"), layer("wash"), layer("frame"), layer("ink"), layer("gilt"), layer("wash"))
    key = "diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"
    assert [patch.name for _, patch, *_ in model.patches[key]] == ["rank stack", "lora", "rank stack", "loha"]


def test_the_order_of_additive_loras_does_not_matter(layer, apply):
    layers = [layer("ink", 0.7), layer("wash", -1.2), layer("gilt", 0.4)]
    first = weights(apply(*layers)[0])
    for order in itertools.permutations(layers):
        assert close(weights(apply(*order)[0]), first) == {}


def test_the_same_lora_twice_is_twice_as_strong(layer, apply, chain):
    assert close(weights(apply(layer("ink"), layer("ink"))[0]), weights(chain(layer("ink", 2.0)))) == {}


@pytest.mark.parametrize("layers", [(), (("ink", 0.0, 0.0),), (("ink", 1.0, 1.0, "default=0"), ("gilt", 0.0, 1.0))])
def test_where_nothing_applies_the_objects_come_back(layers, layer, apply):
    model, clip = small_model("SD3-medium"), small_clip()
    new_model, new_clip, results = apply(*(layer(*each) for each in layers), model=model, clip=clip)
    assert new_model is model and new_clip is clip and len(results) == len(layers)


def test_a_lora_of_strength_zero_is_left_out_and_said_to_be(layer, apply, pack):
    model, _, results = apply(layer("ink"), layer("wash", 0.0, 0.0))
    assert {patch.name for rows in model.patches.values() for _, patch, *_ in rows} == {"lora"}
    text = pack.nodes.lora.applying.apply_report.stack_report(results)
    assert text.startswith("2 LoRAs, 1 of them applied.") and "stack_wash.safetensors: nothing is applied" in text


def test_text_encoders_are_stacked_too(stack, shop):
    loras, clip = shop.tmp / "output" / "loras", small_clip()
    save_file(small.lora_for_clip(clip), loras / "stack_te.safetensors")
    layers = tuple(stack.Layer("stack_te.safetensors", 1.0, strength, "TE.clip_l.00=0") for strength in (0.5, 1.5))
    _, found, _ = stack.apply_stack(small_model("SD1.5"), clip, layers)
    assert {len(patches) for patches in found.patcher.patches.values()} == {1}
    before, after = weights(clip), weights(found)
    assert {key.split(".layers.")[1][0] for key in before if not torch.equal(before[key], after[key])} == {"1"}


def test_the_other_packs_stack_comes_before_the_own_one(stack, layer):
    own = layer("gilt", 0.3, 0.2, "J00=0")
    other = [("stack_wash.safetensors", 0.5, 1), ["None", 1.0, 1.0]]
    found = stack.extended_stack((layer("ink"),), other, own)
    assert found == (layer("ink"), stack.Layer("stack_wash.safetensors", 0.5, 1.0, ""), own)
    assert stack.extended_stack(None, None, own) == (own,)


def test_the_stack_goes_out_as_other_packs_take_it_and_comes_back_without_block_weights(shop, pack, layer):
    node = pack.nodes.lora.nodes.StackLora
    other = [["stack_wash.safetensors", 0.5, 1]]
    _, given = node.execute("stack_ink.safetensors", 0.3, -0.2, "J00=0", (layer("gilt", 2.0),), other).result
    assert given == [("stack_gilt.safetensors", 2.0, 1.0), ("stack_wash.safetensors", 0.5, 1.0),
                     ("stack_ink.safetensors", 0.3, -0.2)] and all(type(row) is tuple for row in given)
    again, _ = node.execute("stack_set.safetensors", 1.0, 1.0, "", None, given).result
    assert [tuple(each)[:4] for each in again[:3]] == [(*row, "") for row in given]
    told = {output.display_name: output.tooltip for output in node.define_schema().outputs}
    assert "Block weights cannot travel" in told["lora_stack"]


def test_a_name_that_is_not_there_is_an_error_that_quotes_it(stack, layer, apply):
    with pytest.raises(FileNotFoundError, match="there is no gone.safetensors in the loras folders"):
        stack.extended_stack(None, [("gone.safetensors", 1, 1)], layer("ink"))
    with pytest.raises(FileNotFoundError, match="stack: there is no stack_gone.safetensors"):
        apply(layer("gone"))


@pytest.mark.parametrize("value", [[("a", 1)], "ink", 3, [("a", "strong", 1)]])
def test_another_form_of_lora_stack_is_refused_in_a_sentence(value, stack, layer):
    with pytest.raises(ValueError, match="lora_stack: expected a list of"):
        stack.extended_stack(None, value, layer("ink"))


def test_another_form_of_stack_is_refused_in_a_sentence(stack, layer):
    with pytest.raises(ValueError, match="stack: expected the output of Stack LoRA, got list"):
        stack.extended_stack([("a", 1.0, 1.0)], None, layer("ink"))


def test_an_error_in_blocks_names_the_lora(layer, apply):
    with pytest.raises(ValueError, match='stack_ink.safetensors: blocks: "IN04" names no block'):
        apply(layer("ink", 1.0, 1.0, "IN04=1"))


def test_it_runs_in_the_executor(shop):
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}
    lora = lambda name, **more: node("BottegaStackLora", lora_name=f"stack_{name}.safetensors", strength_model=0.5,
                                     strength_clip=1.0, blocks="J00=0.5", **more)
    prompt = {
        "1": node("UNETLoader", unet_name=small.SMALL_FILE, weight_dtype="default"),
        "2": lora("ink"), "3": lora("gilt", stack=["2", 0]),
        "4": node("BottegaApplyStack", model=["1", 0], stack=["3", 0]),
        "5": node("PreviewAny", source=["4", 2]),
    }
    outputs, _ = shop.run(prompt)
    text = outputs["5"]["text"][0]
    assert text.startswith("2 LoRAs, 2 of them applied.") and text == outputs["4"]["text"][0]
    assert "stack_gilt.safetensors: changes " in text and "J00=0.5; J01=1" in text
    prompt["2"]["inputs"]["blocks"] = "J00=lots"
    assert '"lots" in "J00=lots" is not a number' in str(shop.validate(prompt)[1])


@pytest.mark.parametrize("settings, blocks", [
    (dict(vector_mode="inspire"), "0.5,1,1,1,1,1,1,1,1,1,1,1"), (dict(a=0.5, b=2.0), "J00=A; J01=B"),
    (dict(seed=7), "J*=R")])
def test_a_stack_reads_block_weights_as_the_loader_does(settings, blocks, shop, pack):
    model, name = small_model("SD3-medium"), "stack_ink.safetensors"
    nodes = pack.nodes.lora.nodes
    alone = nodes.LoadLora.execute(model, name, 1.0, 1.0, blocks, **settings)
    stacked = nodes.StackLora.execute(name, 1.0, 1.0, blocks, **settings).args[0]
    together = nodes.ApplyStack.execute(model, stacked)
    one, other = weights(alone.args[0]), weights(together.args[0])
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert any(not torch.equal(one[key], before) for key, before in weights(model).items())
    text = nodes.LoadLora.execute(model, name, 1.0, 1.0, "", **settings).args[2]
    assert text != alone.args[2]
