"""Block Effect: groups of a real LoRA on the starter, in the real host."""
import json
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from real_host import GraphError
from studio_graphs import loaders, node, uneven_lora, write_lora

PLANTED = "J01"


@pytest.fixture(scope="session")
def planted(loaded):
    """A LoRA with a weak change in every block and a strong one in PLANTED."""
    return uneven_lora(loaded.model, 0.9, 0.04)


@pytest.fixture(scope="session")
def file(planted, host):
    return write_lora(host, planted, "planted.safetensors")


@pytest.fixture(scope="module")
def group_blocks(studio, pack, loaded, planted):
    lora = pack.nodes.lora.file.lora_files.LoraFile

    def make(text, tensors=planted, strength=1.0):
        return studio("block_groups").group_blocks(loaded.model, lora(tensors, {}), strength, text)
    return make


def patches(model):
    return {key: [(entry[0], entry[1]) for entry in entries] for key, entries in model.patches.items()}


def test_blocks_are_divided_evenly_with_families_apart(studio):
    def names(aliases, most=8):
        return [group.name for group in studio("block_groups").default_groups(aliases, most)]
    flux = [f"D{n:02}" for n in range(19)] + [f"S{n:02}" for n in range(38)]
    assert names(flux) == ["D00-D05", "D06-D11", "D12-D18", "S00-S06", "S07-S14", "S15-S21", "S22-S29", "S30-S37"]
    assert names(["J00", "J01", "BASE.x", "BASE.y"]) == ["J00", "J01", "BASE.x,BASE.y"]
    assert names(["A00", "B00", "C00"], 2) == ["A00", "B00,C00"]


@pytest.mark.parametrize("text, names", [
    ("", ["J00", "J01", "J02"]), ("each", ["J00", "J01", "J02"]),
    ("J00,J02  # a note\nJ01", ["J00,J02", "J01"]), ("J01", ["J01", "the rest"]),
    ("J*; J01.mlp", ["J*", "J01.mlp"]),
])
def test_groups_are_those_of_the_text_and_what_is_left(group_blocks, text, names):
    assert group_blocks(text).names == names


@pytest.mark.parametrize("text", ["", "J01", "J*; J01.mlp", "J00; J01.x_block.mlp.fc1"])
def test_the_text_for_load_lora_does_what_the_weights_do(group_blocks, pack, loaded, planted, text):
    lora, language = pack.nodes.lora, pack.nodes.lora.block_weights.block_language
    grouped = group_blocks(text)
    weights = [0.25 + 0.5 * number for number in range(len(grouped.groups))]
    spec = language.parse(grouped.spec(weights))
    file = lora.file.lora_files.LoraFile(planted, {})
    theirs = lora.applying.patching.apply_lora(loaded.model, None, file, 1.0, 1.0, spec)[0]
    ours = grouped.weighted(weights)
    assert {key: [entry[0] for entry in entries] for key, entries in patches(ours).items()} == {
        key: [entry[0] for entry in entries] for key, entries in patches(theirs).items()}
    assert language.write(spec) == grouped.spec(weights)


def test_all_weights_at_zero_are_the_model_itself(group_blocks, loaded):
    grouped = group_blocks("")
    assert grouped.weighted([0.0] * len(grouped.groups)) is loaded.model


@pytest.mark.parametrize("text, words", [
    ("J00=1", "without a weight"), ("J07", 'groups: "J07" names no block'), ("J00; J00", "J00 holds nothing"),
    ("J00,;J01", "names of blocks"), ("TE.*; J00", "holds nothing"), ("J*", "at least two"),
    ("default; J00", "default"),
])
def test_groups_that_mean_nothing_get_a_sentence(group_blocks, text, words):
    with pytest.raises(ValueError, match=words):
        group_blocks(text)


def test_a_lora_of_one_block_or_for_another_model_gets_a_sentence(group_blocks, planted):
    one = {key: tensor for key, tensor in planted.items() if ".1." in key}
    with pytest.raises(ValueError, match="changes one block, J01.* Divide it such as J01.x_block.mlp.fc1, apart"):
        group_blocks("", one)
    assert group_blocks("J01.x_block.mlp.fc1", one).names == ["J01.x_block.mlp.fc1", "the rest"]
    with pytest.raises(ValueError, match="It is a single weight, and has no parts"):
        group_blocks("", {key: tensor for key, tensor in one.items() if "fc1" in key})
    attention = {key.replace("mlp.fc1", "attn.proj"): torch.ones(192, 2) if "up" in key else torch.ones(2, 192)
                 for key in one if "fc1" in key}
    with pytest.raises(ValueError, match="Divide it such as J01.attn, apart from its rest"):
        group_blocks("", one | attention)
    assert group_blocks("J01.attn", one | attention).names == ["J01.attn", "the rest"]
    with pytest.raises(ValueError, match="for SD3, got one that fits none of its weights .*; choose"):
        group_blocks("", {key: tensor[:17] if "up" in key else tensor for key, tensor in planted.items()})
    with pytest.raises(ValueError, match="for SD3, got one that has nothing for any of its weights; choose"):
        group_blocks("", {"lora_unet_down_blocks_0_x.lora_up.weight": torch.ones(4, 2),
                    "lora_unet_down_blocks_0_x.lora_down.weight": torch.ones(2, 4)})
    with pytest.raises(ValueError, match="strength_model: expected a strength .* got 0"):
        group_blocks("", strength=0.0)


def graph(starter, lora_name, **inputs):    return loaders(starter) | {
        "words": node("CLIPTextEncode", text="a red circle on a white background", clip=["clip", 0]),
        "empty": node("CLIPTextEncode", text="", clip=["clip", 0]),
        "size": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "effect": node("BottegaBlockEffect", **{
            "model": ["model", 0], "lora_name": lora_name, "strength_model": 1.0, "groups": "", "mode": "shapley",
            "seeds": 1, "positive": ["words", 0], "negative": ["empty", 0], "latent_image": ["size", 0],
            "vae": ["vae", 0], "seed": 7, "sampling_steps": 2, "cfg": 1.0, "sampler_name": "euler",
            "scheduler": "simple", "value": "pixels", "rubric": "*=0; Balance=1"} | inputs),
        "data": node("PreviewAny", source=["effect", 4]),
        "pictures": node("PreviewImage", images=["effect", 1]),
        "grid": node("PreviewImage", images=["effect", 2]),
    }


def found(host, prompt):
    outputs, _ = host.run(deepcopy(prompt))
    return json.loads(outputs["data"]["text"][0])[0], outputs["effect"]["text"][0], outputs


@pytest.mark.parametrize("mode", ["solo", "ablate", "shapley"])
def test_a_planted_block_is_named_and_shares_sum_to_the_whole(host, starter, file, mode):
    data, report, outputs = found(host, graph(starter, file, mode=mode))
    size = {row["name"]: row["pixels"] for row in data["groups"]}
    assert max(size, key=size.get) == PLANTED and report.startswith(f"**{PLANTED} changes pixels most")
    assert data["pictures"] == (8 if mode == "shapley" else 5)
    if mode == "shapley":
        assert data["sum"] == pytest.approx(data["whole"]) and "which is all of it" in report
    assert all(outputs[name]["images"] for name in ("effect", "pictures", "grid"))


def test_shares_of_many_groups_come_from_random_orders_with_their_errors(host, starter, file, studio, monkeypatch,
                                                                         measured_small):
    monkeypatch.setattr(studio("block_effect.block_attribution"), "EXACT", 2)     # three groups are many
    data, report, _ = found(host, graph(starter, file, permutations=4))
    assert data["draws"] == 4 and data["pictures"] <= 8 and "± is a standard error over 4 orders" in report
    assert data["sum"] == pytest.approx(data["whole"]) and "which is all of it" in report
    pixels = {row["name"]: (row["pixels"], row["error"]) for row in data["groups"]}
    assert max(pixels, key=pixels.get) == PLANTED and all(error >= 0 for _, error in pixels.values())


def test_a_lora_that_does_nothing_is_said_to(host, starter, planted):
    name = write_lora(host, {key: tensor * 0 for key, tensor in planted.items()}, "all_zero.safetensors")
    _, report, outputs = found(host, graph(starter, name, mode="solo"))
    assert report.startswith("**No group changes pixels.**") and outputs["effect"]["images"]


def test_what_is_left_out_is_counted(host, starter, planted):
    encoder = {f"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_{end}.weight": torch.zeros(2, 2)
               for end in ("up", "down")}
    name = write_lora(host, planted | encoder, "with_encoder.safetensors")
    _, report, _ = found(host, graph(starter, name, mode="solo"))
    assert "Not part of this: 2 keys of the file that the model has no weight for (such as those of text" in report
    assert "weights that do not fit" not in report


def test_the_seed_alone_decides_the_result(host, starter, file):
    prompt = graph(starter, file, mode="solo", seeds=2, groups="J01")
    prompt["again"] = deepcopy(prompt["effect"])
    prompt["again"]["inputs"]["groups"] = "J01  # in the same graph"
    prompt["other"] = {"class_type": "PreviewAny", "inputs": {"source": ["again", 4]}}
    state = torch.get_rng_state()
    data, _, outputs = found(host, prompt)
    again = json.loads(outputs["other"]["text"][0])[0]
    assert again == data and data["draws"] == 2 and torch.equal(state, torch.get_rng_state())
    assert data["groups"][0]["error"] > 0


def test_a_cancel_keeps_the_groups_that_were_drawn(host, starter, studio, loaded, group_blocks, pack):
    import comfy.model_management
    effect, report = studio("block_effect.observations"), studio("block_effect.effect_report")
    grouped = group_blocks("")
    plan = studio("block_effect.block_attribution").plan_attribution("shapley", 3, 1, 8, 0)
    settings = sitting_of(studio, loaded, pack)

    def after(count, error=None):
        def show(picture, done):
            assert picture.shape == (1, 128, 128, 3)
            if done == count:
                raise error or comfy.model_management.InterruptProcessingException()
        with torch.inference_mode():
            return effect.measure_effects(grouped, plan, settings, show)

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        after(2)
    few = after(4)
    text = report.report(few, "pixels", settings)
    assert "Cancelled after 4 of 8 pictures" in text and "solo instead of shapley" in text
    assert "| J02 | not measured" in text
    assert report.contact_sheet(few, "pixels").shape[0] == report.chart(few, "pixels").shape[0] == 1
    assert json.loads(report.data(few, "pixels"))[0]["cancelled"]
    full = report.report(after(4, MemoryError("no room")), "pixels", settings)
    assert "Ended (memory was full (no room)) after 4 of 8 pictures; this is what they say" in full
    with pytest.raises(MemoryError):
        after(2, MemoryError("no room"))


def sitting_of(studio, loaded, pack):
    import nodes
    with torch.inference_mode():
        size, = nodes.EmptyLatentImage().generate(128, 128, 1)
    words = loaded.encode("a red circle on a white background")
    sampling = studio("sampling").Sampling(words, loaded.encode(""), size, loaded.vae, 2, 1.0, "euler", "simple")
    critique = pack.nodes.critique
    return studio("block_effect.observations").EffectSettings(
        sampling, 0, 1, critique.reference.distributions.paintings(),
        critique.rubric.rubric_language.parse("*=0; Balance=1"))


@pytest.mark.parametrize("name, words", [("seeds", "seeds: expected 1 or more, got 0"),
                                         ("sampling_steps", "sampling_steps: expected 1 or more, got 0")])
def test_a_linked_number_of_nothing_gets_a_sentence(host, starter, file, name, words):
    with pytest.raises(GraphError, match=words):
        host.run(graph(starter, file, **{name: ["zero", 0]}) | {"zero": node("PrimitiveInt", value=0)})


@pytest.mark.parametrize("inputs, words", [
    ({"groups": "J00=2"}, "without a weight"), ({"rubric": "Nothing=1"}, "is not judged"),
    ({"value": "Beauty"}, "value: expected one of score, pixels, latent, Balance"),
    ({"seeds": 0}, "seeds"), ({"groups": "J*"}, "at least two"),
])
def test_bad_input_gets_a_sentence(host, starter, file, inputs, words):
    with pytest.raises(GraphError, match=words):
        host.run(graph(starter, file, **inputs))


def pretended(studio, paintings, rubric, side):
    """Settings that draw grey pictures and find the median painting in them, of a longer side of `side` pixels."""
    observations, drawn = studio("block_effect.observations"), studio("sampling").SampledPicture
    middle = {column: quantiles[50] for column, quantiles in paintings.quantiles.items()}

    class Settings(observations.EffectSettings):
        def draw(self, model, sample):
            return drawn(torch.full((1, 4, 8, 8), 1 + model), torch.full((1, 16, 16, 3), model / 10))

        def measure(self, picture):
            part = {column: value * (1 + picture.mean().item() / 10) for column, value in middle.items()}
            return part | {"Own longer side": float(side)}
    return Settings(SimpleNamespace(prompts=1), 0, 1, paintings, rubric)


def effects_of(studio, settings, names="AB", show=lambda picture, done: None):
    grouped = SimpleNamespace(names=list(names), members=(1,) * len(names), unused=0, weighted=sum,
                              groups=[SimpleNamespace(selectors=(name,)) for name in names])
    plan = studio("block_effect.block_attribution").plan_attribution("solo", len(names), 1, 2, 0)
    return studio("block_effect.observations").measure_effects(grouped, plan, settings, show)


@pytest.mark.parametrize("side", [512, 700, 900, 1024])
def test_pictures_of_every_size_have_every_quantity(studio, paintings, parse, side):
    report, settings = studio("block_effect.effect_report"), pretended(studio, paintings, parse(""), side)
    effects = effects_of(studio, settings)
    assert effects.attribution.by_group.shape == (2, len(effects.quantities))
    assert json.loads(report.data(effects, "Texture"))[0]["groups"][0]["Texture"] is not None
    assert report.chart(effects, "Variety").shape[0] == report.grid(effects).shape[0] == 1
    assert ("In pictures this small Texture counts for nothing" in report.report(effects, "Texture", settings)) == (
        side <= 768)


def test_a_sum_over_some_of_the_groups_is_not_called_that_of_all(studio, paintings, parse):
    import comfy.model_management

    def show(picture, done):
        if done == 3:
            raise comfy.model_management.InterruptProcessingException()
    settings, report = pretended(studio, paintings, parse(""), 1024), studio("block_effect.effect_report")
    text = report.report(effects_of(studio, settings, "ABCD", show), "pixels", settings)
    assert "1 of 4 groups were measured and together make +25.50. What the others do was not measured." in text
    assert "only together" not in text
