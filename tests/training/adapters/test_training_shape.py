"""LoRA Shape in the real executor: every algorithm trains, and its file does in the host what the adapters did."""
import json
from pathlib import Path

import comfy.model_management
import comfy.sd
import folder_paths
import pytest
import torch
from real_host import GraphError
from training_graphs import files, graph, output, tensors
from training_models import FAMILIES, build, caption, latents, tiny_sd3

SHAPE = dict(algorithm="LoRA", rank=4, alpha=0.0, targets="", scaling="alpha / rank", start="zero", lora_plus_ratio=1.0,
             rank_dropout=0.0, module_dropout=0.0, lokr_factor=0, oft_constraint=0.0, format="native")
CHOICES = {
    "LoRA": {}, "rsLoRA": {"scaling": "alpha / sqrt(rank)", "alpha": 3.0}, "PiSSA": {"start": "PiSSA"},
    "LoRA+": {"lora_plus_ratio": 4.0}, "dropout": {"rank_dropout": 0.3, "module_dropout": 0.3},
    "kohya names": {"format": "kohya"}, "DoRA": {"algorithm": "DoRA"}, "LoHa": {"algorithm": "LoHa"},
    "LoKr": {"algorithm": "LoKr"}, "OFT": {"algorithm": "OFT"}, "OFT, constrained": {"algorithm": "OFT",
                                                                                     "oft_constraint": 0.5},
    "targets": {"targets": "J00.mlp=2@2e-2; BASE.context_embedder=3; J01=8"},
}

pytestmark = pytest.mark.usefixtures("own_output_folder")


def shaped(feed, model, choice, **inputs):
    prompt = graph(feed, model, steps=8, **inputs)
    prompt["shape"] = {"class_type": "BottegaAdapter", "inputs": {**SHAPE, **choice}}
    prompt["train"]["inputs"]["adapter"] = ["shape", 0]
    return prompt


def trained_output(pack, model, choice, path):
    """What the model gives with adapters of this shape that hold the file's values."""
    t = pack.nodes.training
    shape = t.nodes.Adapter.execute(**{**SHAPE, **choice}).args[0]
    comfy.model_management.load_models_gpu([model])  # the weights without the LoRA that was just looked at
    adapters = t.adapters.build(shape, model.model, "cpu", torch.Generator().manual_seed(9))
    assert adapters.load(tensors(path)[0], model.model) == []
    with t.adapters.attached(model.model.diffusion_model, adapters, torch.device("cpu")):
        return output(model)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_shape_trains_and_its_file_does_in_the_host_what_the_adapters_did(
        host, pack, feed, own_output_folder, choice):
    model, options = tiny_sd3(), CHOICES[choice]
    bare = output(model)
    shown, _ = host.run(shaped(feed, model, options))
    assert "adapters receive a gradient" in shown["train"]["text"][0]
    assert ("rank 2 to 8," if choice == "targets" else "rank 4,") in shown["train"]["text"][0]
    name = files(own_output_folder)[0]
    loaded, _ = host.nodes.NODE_CLASS_MAPPINGS["LoraLoader"]().load_lora(model, None, name, 1.0, 1.0)
    merged = output(loaded)
    assert (merged - bare).abs().max() > 1e-3
    path = Path(folder_paths.get_output_directory()) / "loras" / name
    assert torch.allclose(merged, trained_output(pack, model, options, path), atol=2e-4)


def test_the_file_carries_the_shape(host, feed, own_output_folder):
    host.run(shaped(feed, tiny_sd3(), {"algorithm": "LoKr", "lokr_factor": 4, "alpha": 2.0}))
    _, metadata = tensors(own_output_folder / "loras" / "hand.safetensors")
    assert metadata["ss_network_module"] == "lycoris.kohya"
    assert json.loads(metadata["ss_network_args"]) == {"algo": "lokr", "factor": 4}
    assert json.loads(metadata["bottega.config"])["adapter"]["alpha"] == 2.0


@pytest.mark.parametrize("choice, sentence", [
    ({"algorithm": "LoHa", "start": "PiSSA"}, "start: expected to be left alone with LoHa; it is for LoRA,"),
    ({"algorithm": "OFT", "lora_plus_ratio": 16.0}, "lora_plus_ratio: expected 1 with OFT"),
    ({"algorithm": "LoKr", "rank_dropout": 0.5}, "rank_dropout: expected 0 with LoKr"),
])
def test_an_option_of_another_algorithm_is_refused(host, feed, choice, sentence):
    with pytest.raises(GraphError) as error:
        host.run(shaped(feed, tiny_sd3(), choice))
    assert sentence in error.value.args[0]["exception_message"]
    assert error.value.args[0]["node_id"] == "shape"


def test_the_node_offers_what_the_tables_hold(pack):
    t = pack.nodes.training
    assert t.nodes.adapter.ALGORITHMS == list(t.adapters.lora_shape.ALGORITHMS)
    assert t.nodes.adapter.FORMATS == list(t.adapters.FORMATS)


def family(pack, name, **options):
    t, patcher = pack.nodes.training, build(FAMILIES[name])
    adapters = t.adapters.build(t.adapters.LoraShape(**options), patcher.model, "cpu", torch.Generator())
    return t, patcher, adapters


@pytest.mark.parametrize("name, targets, expected", [
    ("Flux.1", "", {"D00": 8, "D01": 8, "S00": 2, "S01": 2}),
    ("Flux.1", "D*=4; default=0", {"D00": 8, "D01": 8}),
    ("Flux.1", "S01.linear2=4; D00.img.attn=2; default=0", {"D00": 2, "S01": 1}),
    ("SD1.5", "OUT*.attn=16; default=0", {f"OUT0{block}": 8 for block in range(4)}),
    ("Flux.1", "D01=0", {"D00": 8, "S00": 2, "S01": 2}),
    ("Flux.1", "D00.mod=4; D00=2; default=0", {"D00": 10}),
    ("SD3", "BASE.x_embedder=4; J01.attn=4@1e-5; default=0", {"BASE.x_embedder": 1, "J01": 3}),
])
def test_targets_choose_layers_by_block_and_part(pack, name, targets, expected):
    t, patcher, adapters = family(pack, name, targets=targets)
    places = pack.nodes.lora.model.blocks.model_places(patcher.model.state_dict())
    counted = {}
    for layer in adapters.layers:
        alias = places[f"diffusion_model.{layer}.weight"].alias
        counted[alias] = counted.get(alias, 0) + 1
    assert counted == expected


def test_ranks_and_rates_are_those_of_the_last_statement_that_fits(pack):
    _, _, adapters = family(pack, "Flux.1", rank=16, targets="D*=8@2e-5; D01.mlp=4; S*=linear(2, 6)@1e-3  # note @ 9")
    ranks = {name: adapter.rank for name, adapter in adapters.layers.items()}
    assert ranks["double_blocks.0.img_attn.qkv"] == 8 and ranks["double_blocks.1.img_mlp.0"] == 4
    assert ranks["single_blocks.0.linear1"] == 2 and ranks["single_blocks.1.linear2"] == 6
    assert {(g.rate, len(g.names)) for g in adapters.groups} == {(2e-5, 24), (None, 8), (1e-3, 8)}
    assert [g.factor(1e-4) for g in adapters.groups if g.rate == 2e-5] == [pytest.approx(0.2)]


def test_the_half_that_starts_at_zero_learns_faster_with_lora_plus(pack):
    _, _, adapters = family(pack, "SD3", late_ratio=16.0, targets="J00=4@1e-5")
    assert sorted((g.rate or 0, g.ratio) for g in adapters.groups) == [(0, 1.0), (0, 16.0), (1e-5, 1.0), (1e-5, 16.0)]
    assert all(name.endswith("/up") == (group.ratio == 16) for group in adapters.groups for name in group.names)
    covered = sorted((g.part.start, g.part.stop) for g in adapters.groups)
    assert covered[0][0] == 0 and covered[-1][1] == adapters.flat.numel()
    assert all(a[1] == b[0] for a, b in zip(covered, covered[1:], strict=False))


@pytest.mark.parametrize("targets, sentence", [
    ("default=0", 'targets: "default=0" leaves no layer of SD3 to train.'),
    ("J00.attn=2.5", "targets: expected whole ranks of at most 4096, got 2.5 for J00.attn."),
    ("J00=9999", "targets: expected whole ranks of at most 4096, got 9999 for J00."),
    ("J00=-1", "targets: expected ranks and rates of 0 or more, got -1 for J00."),
    ("J00=4@fast", 'targets: "fast" in "J00=fast" is not a number'),
    ("J77=4", 'targets: "J77" names no block of this model'),
    ("1,1,1", "targets: expected NAME=RANK, such as L*.attn=16; got 1,1,1 without a rank or a name."),
    ("TE.*=8", "targets: TE names the text encoders, which are trained when they are connected to the clip input"),
    ("J00.q=4", 'targets: "J00.q=4" asks for part q of J00, where there is no layer of its own to train; q, k and v '
                "may lie in one layer, which attn names."),
])
def test_targets_that_cannot_be_followed_are_one_sentence(pack, targets, sentence):
    with pytest.raises(ValueError) as error:
        family(pack, "SD3", targets=targets)
    assert str(error.value).startswith(sentence)


def test_convolutions_of_a_unet_are_trained_by_locon_or_by_name(pack):
    kinds = lambda adapters: {adapter.layer.is_conv for adapter in adapters.layers.values()}
    assert kinds(family(pack, "SD1.5")[2]) == {False}
    assert kinds(family(pack, "SD1.5", algorithm="LoCon")[2]) == {False, True}
    assert kinds(family(pack, "SD1.5", targets="IN01.0.in_layers=4; default=0")[2]) == {True}
    assert not any("emb" in name for name in family(pack, "SD1.5", algorithm="LoCon")[2].layers)


def test_dropout_leaves_out_ranks_and_layers_and_ends_with_the_step(pack):
    _, _, adapters = family(pack, "SD3", rank=8, rank_dropout=0.5, layer_dropout=0.5)
    generator = torch.Generator().manual_seed(1)
    with adapters.dropping(generator):
        assert 0 < len(adapters.dropped) < len(adapters.layers)
        kept = next(iter(adapters.layers.values())).kept_ranks
        assert set(kept.tolist()) == {0.0, 2.0}
    assert not adapters.dropped and all(a.kept_ranks is None for a in adapters.layers.values())
    _, _, plain = family(pack, "SD3")
    state = generator.get_state()
    with plain.dropping(generator):
        pass
    assert torch.equal(state, generator.get_state())


def test_a_step_whose_layers_are_all_left_out_is_passed(pack, train, output_folder):
    shape = pack.nodes.training.adapters.LoraShape(rank=2, targets="J00.attn=2; default=0", layer_dropout=0.9)
    assert len(train(tiny_sd3(), 8, shape=shape).losses) == 8


def test_disabled_adapters_give_the_base_model(pack):
    t, patcher, adapters = family(pack, "SD3", algorithm="LoKr")
    adapters.flat.normal_(std=0.2, generator=torch.Generator().manual_seed(2))
    network, x = patcher.model.diffusion_model, torch.randn(1, 5, 128, generator=torch.Generator().manual_seed(3))
    layer = network.get_submodule(next(iter(adapters.layers)))
    bare = layer(x)
    with t.adapters.attached(network, adapters, torch.device("cpu")):
        assert (layer(x) - bare).abs().max() > 1e-3
        with adapters.at(0.0):
            assert torch.equal(layer(x), bare)
    assert torch.equal(layer(x), bare)


def test_a_lora_of_another_kind_is_not_continued(pack):
    _, patcher, loha = family(pack, "SD3", algorithm="LoHa", rank=4)
    _, _, lora = family(pack, "SD3", rank=4)
    with pytest.raises(ValueError, match="resume: the LoRA does not fit layer .*: expected lora, got loha."):
        lora.load(loha.tensors(torch.float32), patcher.model)
    _, _, wider = family(pack, "SD3", rank=8)
    with pytest.raises(ValueError, match=r"expected up of 384x8, got 384x4"):
        wider.load(lora.tensors(torch.float32), patcher.model)
    with pytest.raises(ValueError, match="nothing for the layers"):
        lora.load({}, patcher.model)


def merged_weights(patcher, lora):
    """Every weight as the host makes it of the model and a LoRA."""
    loaded, _ = comfy.sd.load_lora_for_models(patcher, None, lora, 1.0, 0.0)
    loaded.patch_model()
    weights = {key: tensor.clone() for key, tensor in patcher.model.state_dict().items()}
    loaded.unpatch_model()
    return weights


@pytest.mark.parametrize("style", ["kohya", "diffusers"])
@pytest.mark.parametrize("name, algorithm", [("Flux.1", "LoRA"), ("Flux.1", "LoKr"), ("SD3", "DoRA"),
                                             ("SD1.5", "LoCon"), ("Wan 2.1", "OFT"), ("SD3", "LoHa")])
def test_other_names_say_the_same(pack, caplog, name, algorithm, style):
    t, patcher, adapters = family(pack, name, algorithm=algorithm, rank=4)
    with torch.no_grad():
        adapters.flat.add_(torch.randn(adapters.flat.shape, generator=torch.Generator().manual_seed(5)) * 0.1)
    native = adapters.tensors(torch.float32)
    renamed = pack.nodes.lora.saving.baking.renamed(native, style, patcher.model)
    expected, weights = (merged_weights(patcher, lora) for lora in (native, renamed))
    assert "not loaded" not in caplog.text.lower()
    changed = [key for key, value in patcher.model.state_dict().items() if not torch.equal(value, expected[key])]
    assert len(changed) == len(adapters.layers)
    assert all(torch.allclose(weights[key], expected[key], atol=2e-5) for key in expected)
    if style == "kohya":
        assert all(key.startswith("lora_unet_") for key in renamed)


@pytest.mark.parametrize("options", [
    {"settings": {"pissa": True}, "rank_dropout": 0.3, "layer_dropout": 0.3},
    {"algorithm": "LoKr", "targets": "J00=2@2e-3; J01=3"},
])
def test_a_run_that_is_cut_and_resumed_is_the_whole_run_whatever_its_shape(pack, options):
    t = pack.nodes.training
    settings = t.adapters.lora_shape.ALGORITHMS[options.get("algorithm", "LoRA")].settings(
        **options.get("settings", {})
    )
    shape = t.adapters.LoraShape(**{"rank": 4, **options, "settings": settings})
    dataset = t.data.dataset.from_core_nodes([{"samples": latents(4)}], [caption(i) for i in range(4)])
    constant = t.plan.recipe.Recipe(schedule=t.plan.recipe.SchedulePlan(shape="constant", warmup=0))

    def run(steps, name, resume=""):
        return t.training_run.train(tiny_sd3(), dataset, t.plan.settings.Settings(steps, 2, 1e-2, 4, 0, constant), name,
                           t.monitoring.progress.Progress(steps, "1"), shape, resume=resume)

    whole, _, both = run(8, "whole"), run(4, "first half"), run(8, "both", "first half")
    assert both.losses == whole.losses
    assert all(torch.equal(both.tensors[key], tensor) for key, tensor in whole.tensors.items())
