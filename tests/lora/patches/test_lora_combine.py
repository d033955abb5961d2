"""Rules that join LoRAs on one weight, held against PEFT and mergekit on the same tensors, and stacks that use them."""
import lora_models as small
import pytest
import torch
from lora_models import off, small_model, weights
from safetensors.torch import load_file

DENSITY = 0.4


@pytest.fixture(scope="module")
def combine(pack):
    return pack.nodes.lora.patches.combine


@pytest.fixture(scope="module")
def changes():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(24, 40, generator=generator) * scale for scale in (1.0, 0.3, 2.0)]


def how(combine, method, **more):
    return combine.Combination(method, **{"density": DENSITY, "keep_size": False, **more})


def test_ties_is_that_of_peft(combine, changes):
    peft = pytest.importorskip("peft.utils.merge_utils")
    wanted = peft.ties(changes, torch.ones(3), DENSITY)
    assert torch.equal(combine.combine(changes, how(combine, "ties")), wanted)


@pytest.mark.parametrize(("method", "name"), [("dare", "dare_linear"), ("dare ties", "dare_ties")])
def test_dare_is_that_of_peft_with_the_same_draws(method, name, combine, changes, monkeypatch):
    peft = pytest.importorskip("peft.utils.merge_utils")
    torch.manual_seed(0)
    wanted = getattr(peft, name)(changes, torch.ones(3), DENSITY)
    monkeypatch.setattr(combine.zlib, "crc32", lambda key: 0)
    assert torch.allclose(combine.combine(changes, how(combine, method)), wanted, atol=1e-6)


def test_what_della_keeps_is_what_mergekit_keeps_with_the_same_draws(combine, changes):
    sparsify = pytest.importorskip("mergekit.sparsify")
    torch.manual_seed(3)
    wanted = sparsify.della_magprune(changes[0], DENSITY, combine.SPREAD, sparsify.RescaleNorm.l1)
    found = combine.by_rank(changes[0], DENSITY, torch.Generator().manual_seed(3))
    assert torch.allclose(found, wanted, atol=1e-5)


def of_low_rank(seed, shape=(24, 40), rank=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape[0], rank, generator=generator) @ torch.randn(rank, shape[1], generator=generator)


@pytest.mark.parametrize("rank", [3, 24])
def test_knots_is_its_authors_formula_around_the_ties_of_peft(rank, combine):
    """[D_1 | D_2 | D_3] = U S [V_1 | V_2 | V_3]; singular values above 1e-5 are kept; U ties(S V_1, S V_2, S V_3)."""
    peft = pytest.importorskip("peft.utils.merge_utils")
    changes = [of_low_rank(seed, rank=rank) * scale for seed, scale in enumerate((1.0, 0.4, 2.0))]
    left, values, right = torch.linalg.svd(torch.cat(changes, 1).double(), full_matrices=False)
    left, turned = left[:, values > 1e-5], (torch.diag(values) @ right)[values > 1e-5]
    wanted = left @ peft.ties(list(turned.split(40, 1)), torch.ones(3), DENSITY)
    assert left.shape[1] == min(24, 3 * rank)
    assert torch.allclose(combine.combine(changes, how(combine, "knots")), wanted.float(), atol=1e-5)


def test_knots_finds_few_directions_in_a_large_weight_and_all_of_a_kernel(combine, monkeypatch):
    changes = [of_low_rank(seed, (40, 30), 2).view(40, 5, 3, 2) for seed in (1, 2)]
    wanted = combine.combine(changes, how(combine, "knots"))
    for mixtures in (8, 3):     # enough, and too few at first
        monkeypatch.setattr(combine, "MIXTURES", mixtures)
        assert torch.allclose(combine.combine(changes, how(combine, "knots")), wanted, atol=1e-5)
    whole = combine.combine(changes, how(combine, "knots", density=1.0))
    assert wanted.shape == (40, 5, 3, 2) and not torch.allclose(whole, wanted, atol=1e-3)
    assert torch.allclose(combine.combine(changes[:1], how(combine, "knots", density=1.0)), changes[0], atol=1e-5)


@pytest.mark.parametrize("method", ["ties", "dare", "dare ties", "della", "knots"])
def test_a_joint_change_has_the_size_of_unrelated_ones(method, combine, changes):
    joined = combine.combine(changes, how(combine, method, keep_size=True), "a.weight")
    assert float(joined.norm()) == pytest.approx(sum(float(c.norm()) ** 2 for c in changes) ** 0.5, rel=1e-5)


def test_what_is_drawn_depends_on_the_weight_and_not_on_the_run(combine, changes):
    joined = [combine.combine(changes, how(combine, "dare"), key) for key in ("a", "a", "b")]
    assert torch.equal(joined[0], joined[1]) and not torch.equal(joined[0], joined[2])


@pytest.fixture(scope="module")
def conflict(pack):
    return pack.nodes.lora.patches.conflict


def test_a_change_agrees_with_itself_and_fights_its_negative(conflict, changes):
    for other, wanted in ((changes[0], (1, 0)), (-changes[0], (-1, 1)), (torch.zeros_like(changes[0]), (0, 0))):
        found = conflict.conflict(changes[0], other)
        assert (found.cosine, found.disagreement) == (pytest.approx(wanted[0]), wanted[1])


def test_conflicts_of_weights_add_up_to_that_of_all_numbers(conflict, changes):
    first, second = changes[0], changes[1] - 0.1 * changes[0]
    parts = conflict.conflict(first[:10], second[:10]) + conflict.conflict(first[10:], second[10:])
    whole = float(torch.nn.functional.cosine_similarity(first.flatten(), second.flatten(), 0))
    assert parts.cosine == pytest.approx(whole, abs=1e-6)
    assert parts.disagreement == pytest.approx(float((first.sign() != second.sign()).float().mean()))


@pytest.mark.parametrize(("numbers", "said"), [
    ({"method": "best"}, "^combine: expected one of"), ({"density": 0.0}, "^density: expected a share above 0"),
    ({"method": "della", "density": 1.0}, "^density: expected less than 1 for della")])
def test_numbers_out_of_range_get_a_sentence(numbers, said, combine):
    with pytest.raises(ValueError, match=said):
        combine.check(combine.Combination(**numbers))


@pytest.fixture(scope="module")
def stock(host):
    model = small_model("SD3-medium")
    turned = {key: -tensor if number % 3 else tensor for number, (key, tensor) in enumerate(
        small.lora_for(model, "lora").items())}
    small.stock(host, combine_a=(small.lora_for(model, "loha"), {}), combine_b=(turned, {}))
    return host


@pytest.fixture
def layers(pack, stock):
    layer = pack.nodes.lora.applying.stack.Layer
    return (layer("combine_a.safetensors", 0.8, 1.0, "J00=0.5"), layer("combine_b.safetensors", -0.6, 1.0))


def share_off(found, wanted):
    """Of each weight, the share of numbers that differ by more than a rounding."""
    return {key: float(((found[key] - wanted[key]).abs() > 1e-5).float().mean()) for key in wanted}


def test_a_stack_joins_by_the_rule_and_leaves_what_one_lora_changes(pack, combine, layers):
    stack, model = pack.nodes.lora.applying.stack, small_model("SD3-medium")
    own, rule = weights(model), how(combine, "ties", keep_size=True)
    alone = [weights(stack.apply_stack(model, None, (layer,))[0]) for layer in layers]
    joined = weights(stack.apply_stack(model, None, layers, how=rule)[0])
    wanted = {key: own[key] + combine.combine([each[key] - own[key] for each in alone], rule, key)
              if all(not torch.equal(each[key], own[key]) for each in alone)
              else own[key] + sum(each[key] - own[key] for each in alone) for key in own}
    assert max(share_off(joined, wanted).values()) < 1e-3      # rounding takes single numbers over the threshold
    assert max(share_off(weights(stack.apply_stack(model, None, layers)[0]), wanted).values()) > 0.5


def test_the_work_before_the_patching_grows_with_the_entries_and_not_with_their_square(pack, combine, monkeypatch):
    stack, patching, asked = pack.nodes.lora.applying.stack, pack.nodes.lora.applying.patching, []

    class Counted(stack.Entry):
        @property
        def key(self):
            asked.append(1)
            return super().key
    monkeypatch.setattr(stack, "Entry", Counted)
    changes = [patching.Change(f"k{number}.weight", ("diff", (torch.ones(2, 2),)), "B00", 1.0, "", False, (2, 2))
               for number in range(100)]
    layers = [patching.Component("model", [], changes[start:], 1.0) for start in (0, 10, 50)]
    found = stack.joined_entries(layers, how(combine, "ties"))
    assert [entry.target for entry in found] == [change.target for change in changes]
    assert [len(entry.patch.weights) - 2 for entry in found[10:]] == [2] * 40 + [3] * 50
    assert len(asked) <= 4 * sum(len(layer.changes) for layer in layers)


@pytest.mark.parametrize("turn, cosine, apart", [(1.0, 1.0, 0.0), (-1.0, -1.0, 1.0)])
def test_the_report_of_a_stack_tells_the_conflict_of_each_block(turn, cosine, apart, pack, stock, layers):
    report = pack.nodes.lora.applying.conflict_report
    same = (layers[0], layers[0]._replace(strength_model=turn * layers[0].strength_model))
    model = small_model("SD3-medium")
    results = [result for _, result in pack.nodes.lora.applying.stack.apply_stack(model, None, same)[2]]
    found = report.conflicts([result.components for result in results], (model, None))
    assert {"J00", "J01"} < set(found)
    assert all(own[0, 1].cosine == pytest.approx(cosine) and own[0, 1].disagreement == apart for own in found.values())
    assert f"- J00: cosine {cosine:+.3f}, signs apart in {apart:.1%}" in report.conflict_lines(found, "ab")


def test_the_nodes_show_the_conflict_where_loras_are_joined_by_a_rule(stock):
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}
    stacked = lambda name, **more: node("BottegaStackLora", lora_name=f"{name}.safetensors", strength_model=1.0,
                                        strength_clip=1.0, blocks="", **more)
    prompt = {"model": node("UNETLoader", unet_name=small.SMALL_FILE, weight_dtype="default"),
              "a": stacked("combine_a"), "b": stacked("combine_b", stack=["a", 0]),
              "apply": node("BottegaApplyStack", model=["model", 0], stack=["b", 0], combine="knots"),
              "save": node("BottegaSaveLora", stack=["b", 0], model=["model", 0], blocks="", name="joined",
                           format="comfy", rank=0, metadata="", combine="ties"),
              "one": node("PreviewImage", images=["apply", 3]), "two": node("PreviewImage", images=["save", 1])}
    outputs = stock.run(prompt)[0]
    for name in ("apply", "save"):
        text = outputs[name]["text"][0]
        assert "Conflict of combine_a.safetensors and combine_b.safetensors: cosine" in text and "- J00: " in text
    assert outputs["one"]["images"] and outputs["two"]["images"]
    prompt["apply"]["inputs"]["combine"] = "sum"
    assert "Conflict" not in stock.run(prompt)[0]["apply"]["text"][0]


def test_a_saved_stack_is_the_one_that_is_applied(pack, combine, layers, output_folder):
    lora, model, rule = pack.nodes.lora, small_model("SD3-medium"), how(combine, "dare ties", keep_size=True)
    applied = weights(lora.applying.stack.apply_stack(model, None, layers, how=rule)[0])
    sources = [lora.saving.saved_metadata.Source(each.name, lora.file.lora_files.listed_lora(each.name), *each[1:])
               for each in layers]
    path = lora.saving.save_lora.save(sources, "joined", "comfy", 0, {}, model, None, rule).path
    file = lora.file.lora_files.LoraFile(load_file(path), {})
    loaded = lora.applying.patching.apply_lora(model, None, file, 1.0, 1.0, ())[0]
    assert off(weights(loaded), applied) == {}
