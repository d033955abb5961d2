"""Art Critique with everything that can be asked of it: rubric, critic, mask, depth, counterfactuals, metadata."""
import json
import sys
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.usefixtures("measured_small")


@pytest.fixture(scope="module")
def photograph(host):
    """A piece of a photograph, as a PNG file where the core LoadImage looks for it."""
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    Image.fromarray(data.chelsea()[60:180, 100:260]).save(host.tmp / "input" / "asked_eye.png")
    speck = np.zeros((120, 160), np.uint8)
    speck[:5, :5] = 255
    Image.fromarray(speck).save(host.tmp / "input" / "asked_speck.png")
    return "asked_eye.png"


def loaded(name):
    return {"class_type": "LoadImage", "inputs": {"image": name}}


def critique_of(source, **inputs):
    return {"class_type": "BottegaCritique", "inputs": {"images": [source, 0], **inputs}}


def shown(source, output):
    return {"class_type": "PreviewAny", "inputs": {"source": [source, output]}}


def saved(source, output, prefix):
    return {"class_type": "SaveImage", "inputs": {"images": [source, output], "filename_prefix": prefix}}


def written_critique(host, entry):
    """What the core Save Image wrote into a PNG under the key of the critique."""
    text = Image.open(host.tmp / "output" / entry["subfolder"] / entry["filename"]).text
    return json.loads(text["bottega_critique"]) if "bottega_critique" in text else None


def assert_strict_json(host, entry):
    """Every saved chunk is JSON to a strict reader: no NaN and no infinity, which end a workflow for good."""
    def refused(constant):
        raise AssertionError(constant)

    chunks = Image.open(host.tmp / "output" / entry["subfolder"] / entry["filename"]).text
    assert {"prompt", "workflow"} <= set(chunks)
    for text in chunks.values():
        json.loads(text, parse_constant=refused)


def test_no_node_answers_nan_for_what_the_host_saves(pack):
    """The host writes what fingerprint_inputs answers into the prompt of every saved file."""
    import inspect
    nodes = [each for module in list(sys.modules.values()) for each in vars(module).values()
             if isinstance(each, type) and str(each.__module__).startswith(f"{pack.__name__}.nodes.")
             and "fingerprint_inputs" in vars(each)]
    assert len(nodes) >= 8
    assert not [each.__name__ for each in nodes if "nan" in inspect.getsource(each.fingerprint_inputs).split('"')]
    art = next(each for each in nodes if each.__name__ == "ArtCritique")
    first, second = (art.fingerprint_inputs(in_metadata=True) for _ in range(2))
    assert first != second and json.loads(json.dumps(first, allow_nan=False)) == first


def test_the_core_save_image_writes_the_critique_into_the_file(host, photograph):
    for number in range(2):  # the second time nothing but the prefix is new, and the host caches what it can
        prompt = {"1": loaded(photograph), "2": critique_of("1", in_metadata=True),
                  "3": saved("2", 6, f"with_critique_{number}")}
        outputs = host.run(prompt, extra_pnginfo={"workflow": {"nodes": []}})[0]
        assert_strict_json(host, outputs["3"]["images"][0])
        (entry,) = written_critique(host, outputs["3"]["images"][0])["2"]
        score = float(outputs["2"]["text"][0].split("**Score ")[1].split(" of")[0])
        assert entry["score"] == pytest.approx(score, abs=0.05) and len(entry["reasons"]) == 3
        assert {"Line", "Balance"} <= {criterion["name"] for criterion in entry["criteria"]}


def test_without_asking_nothing_is_added_to_the_file(host, photograph):
    prompt = {"1": loaded(photograph), "2": critique_of("1"), "3": saved("2", 6, "without_critique")}
    outputs = host.run(prompt, extra_pnginfo={"workflow": {"nodes": []}})[0]
    assert written_critique(host, outputs["3"]["images"][0]) is None


def test_a_prompt_that_cannot_carry_metadata_is_told_so(host, photograph):
    outputs, _ = host.run({"1": loaded(photograph), "2": critique_of("1", in_metadata=True)})
    assert "in_metadata: this prompt carries no extra_pnginfo" in outputs["2"]["text"][0]


@pytest.mark.parametrize("extra", ["text", {"bottega_critique": "text"}])
def test_metadata_of_another_form_is_left_as_it_is_and_the_report_says_so(pack, extra):
    run = pack.nodes.critique.nodes.art_critique_run
    node = SimpleNamespace(hidden=SimpleNamespace(extra_pnginfo=deepcopy(extra), unique_id="1"))
    (said,) = run._into_metadata(node, [])
    assert said.startswith("in_metadata: the extra_pnginfo of this prompt is no object of objects")
    assert node.hidden.extra_pnginfo == extra


@pytest.fixture(scope="module")
def asked(host, photograph, measured_small):
    """One picture by a critic, by a rubric, under a mask and with a depth map."""
    white = np.pad(np.full((60, 80), 255, np.uint8), ((30, 30), (40, 40)))
    Image.fromarray(white).save(host.tmp / "input" / "mask.png")
    slope = np.linspace(0, 255, 160)[None].repeat(120, 0).astype(np.uint8)
    Image.fromarray(slope).save(host.tmp / "input" / "depth.png")
    graph = {"1": loaded(photograph), "2": loaded("depth.png"),
             "3": {"class_type": "LoadImageMask", "inputs": {"image": "mask.png", "channel": "red"}},
             "4": {"class_type": "ImageCrop", "inputs": {"image": ["1", 0], "x": 40, "y": 30, "width": 80,
                                                         "height": 60}},
             "10": critique_of("1", rubric="@Klee"), "11": critique_of("1", rubric="*=0; Value=high\nLine=2 < 30"),
             "12": critique_of("1", mask=["3", 0], depth=["2", 0]), "13": critique_of("4")}
    nodes = {str(int(node) + 20): shown(node, 3) for node in ("10", "11", "12", "13")}
    outputs, _ = host.run({**graph, **nodes, "40": shown("10", 2)})
    return {**{node: json.loads(outputs[str(int(node) + 20)]["text"][0])[0] for node in ("10", "11", "12", "13")},
            "report": outputs["40"]["text"][0]}


def test_a_critic_judges_by_the_concepts_of_the_book(asked):
    entry = asked["10"]
    assert set(entry["contributions"]) >= {"Active line", "Balance without symmetry"} and not entry["ranked"]
    assert set(entry["positions"]) == {"Earth or air"}
    assert entry["baseline"] == pytest.approx(50)
    assert "after Paul Klee" in asked["report"] and "Pedagogical Sketchbook, 1925" in asked["report"]


def test_a_rubric_of_ones_own_counts_what_it_names(asked):
    entry = asked["11"]
    assert set(entry["contributions"]) == {"Value", "Line"}
    value = entry["criteria"]["Value"]
    assert value["reading"] == "the more the better" and value["points"] == pytest.approx(value["position"])


def test_wölfflins_pairs_are_placed_and_never_scored(host, photograph):
    outputs, _ = host.run({"1": loaded(photograph), "2": critique_of("1", rubric="@Wölfflin", counterfactuals=True),
                           "3": shown("2", 0), "4": shown("2", 2), "5": shown("2", 3)})
    entry, panel = json.loads(outputs["5"]["text"][0])[0], json.loads(outputs["2"]["bottega_critique"][0])[0]
    assert outputs["3"]["text"] == ["0.0"]
    for each in (entry, panel):
        assert each["score"] is each["band"] is None and len(each["positions"]) == 5
    assert all(each["place"] is None or -1 <= each["place"] <= 1 for each in panel["positions"])
    assert [each["id"] for each in panel["positions"] if each["place"] is None] == ["WO1", "WO2", "WO4"]
    report = outputs["4"]["text"][0]
    assert "**Positions only**, no score: after Heinrich Wölfflin" in report
    assert "1,629 Western paintings" in report and "| Closed or open form | " in outputs["2"]["text"][0]
    assert "counterfactuals: nothing to raise" in report and outputs["2"]["images"]


def test_a_mask_judges_its_rectangle_as_a_picture_of_its_own(asked):
    assert asked["12"]["region"] == [40, 30, 120, 90] and asked["12"]["size"] == [80, 60]
    assert asked["12"]["score"] == asked["13"]["score"] and asked["13"]["region"] is None


def test_regions_of_different_sizes_have_charts_of_one_size(host, pack):
    from types import SimpleNamespace
    images, mask = torch.rand(2, 800, 800, 3, generator=torch.Generator().manual_seed(0)), torch.ones(2, 800, 800)
    mask[1, 300:] = mask[1, :, 300:] = 0   # in a small region Texture does not count, and has no row
    node = SimpleNamespace(hidden=SimpleNamespace(extra_pnginfo=None, unique_id="1", prompt=None))
    run = pack.nodes.critique.nodes.art_critique_run
    given = run.criticise(node, images, "", None, mask, None, False, False, "").result
    assert given[4].shape[0] == given[5].shape[0] == len(given[1]) == 2


def test_a_depth_map_adds_the_measures_of_space(asked):
    with_depth, without = asked["12"]["measures"], asked["13"]["measures"]
    assert {"Depth spread", "Aerial contrast"} <= set(with_depth) and "Depth spread" not in without
    assert with_depth["Depth spread"] == pytest.approx(1 / 12 ** 0.5, abs=0.02)  # even from near to far
    assert asked["12"]["criteria"]["Space"]["weight"] == 0


@pytest.mark.parametrize("inputs, sentence", [
    ({"mask": ["9", 0]}, "mask: expected some white, which marks the part to judge, got an all-black mask"),
    ({"mask": ["7", 0]}, "mask: what its white part cuts out cannot be measured (images: expected at least 16 x 16"),
    ({"rubric": "*=0"}, "rubric: expected at least one criterion with a weight above 0, got none"),
    ({"depth": ["8", 0]}, "depth: expected one map, or one for each of the 1 pictures, got 2"),
])
def test_what_cannot_be_judged_gives_one_sentence(host, photograph, inputs, sentence):
    with pytest.raises(Exception) as error:
        host.run({"1": loaded(photograph), "2": critique_of("1", **inputs),
                  "8": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 2}},
                  "7": {"class_type": "LoadImageMask", "inputs": {"image": "asked_speck.png", "channel": "red"}},
                  "9": {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 64, "height": 64}}})
    assert sentence in str(error.value)


def test_a_faulty_rubric_is_refused_before_anything_runs(host, photograph):
    _, errors = host.validate({"1": loaded(photograph), "2": critique_of("1", rubric="Valeu=2")})
    assert "did you mean" in str(errors["nodes"]["2"])


@pytest.mark.parametrize("node", ["BottegaCritique", "BottegaRankImages"])
@pytest.mark.parametrize("rubric", ["E*=0; P*=0", "@Klee; *=0"])
def test_a_rubric_that_leaves_nothing_to_count_is_refused_before_anything_is_measured(host, photograph, node, rubric):
    _, errors = host.validate({"1": loaded(photograph), "2": {"class_type": node, "inputs": {
        "images": ["1", 0], "rubric": rubric, "keep": 1}}, "3": shown("2", 0)})
    assert f'expected at least one criterion with a weight above 0, got none in "{rubric}"' in str(errors["nodes"]["2"])


def test_a_heat_map_that_is_asked_for_is_shown_and_lies_on_the_page(host, photograph):
    outputs, _ = host.run({"1": loaded(photograph), "2": critique_of("1", heat="texture"), "3": shown("2", 2),
                           "4": shown("2", 3), "5": critique_of("1", heat="mean L channel"), "6": shown("5", 2)})
    assert json.loads(outputs["4"]["text"][0])[0]["heatmap"] == "Slope Redies"
    assert "as asked. It belongs to the picture as a whole" in outputs["3"]["text"][0]
    (panel,) = json.loads(outputs["2"]["bottega_critique"][0])
    texture = next(criterion for criterion in panel["criteria"] if criterion["name"] == "Texture")
    assert texture["column"] == "Slope Redies" and texture["tile"] is not None
    assert "Heat map: Lightness (mean L channel), as asked." in outputs["6"]["text"][0]


def test_a_faulty_heat_is_refused_before_anything_runs(host, photograph):
    _, errors = host.validate({"1": loaded(photograph), "2": critique_of("1", rubric="", heat="Space")})
    assert "heat: Space has no measure" in str(errors["nodes"]["2"])


def test_the_data_hold_the_colours_of_the_picture(pack):
    painted = torch.zeros(1, 100, 60, 3)
    painted[:, :20] = torch.tensor((200, 0, 40)) / 255
    painted[:, 90:] = 1
    found = pack.nodes.critique.picture.main_colours.swatches(
        pack.nodes.critique.picture.planes.Picture.from_images(painted)
    )
    assert [(each["colour"], round(each["share"], 6)) for each in found] == [
        ("#000000", 0.7), ("#c80028", 0.2), ("#ffffff", 0.1)]


def test_a_prompt_from_before_there_was_a_rubric_still_runs(host, photograph):
    old = {"1": loaded(photograph), "2": {"class_type": "BottegaCritique", "inputs": {"images": ["1", 0]}}}
    assert host.validate(old)[1] == {}


def test_counterfactuals_are_reported_when_asked_for(host, photograph, pack, monkeypatch):
    module = pack.nodes.critique.explain.counterfactuals
    monkeypatch.setattr(module, "EDITS", module.EDITS[5:8])
    monkeypatch.setattr(module, "LADDER", (1 / 4, 1))
    asked = critique_of("1", rubric="*=0; Value=high", counterfactuals=True)
    outputs, _ = host.run({"1": loaded(photograph), "2": asked, "3": shown("2", 2), "4": shown("2", 3)})
    entry = json.loads(outputs["4"]["text"][0])[0]
    found = entry["counterfactuals"]
    assert "### What to try" in outputs["3"]["text"][0]
    assert found and all(each["points"][1] >= each["points"][0] + 10 for each in found)
    [shown_on_page] = json.loads(outputs["2"]["bottega_critique"][0])
    assert shown_on_page["tries"] == [module.in_short(module.Counterfactual(**each)) for each in found]
    assert found[0]["criterion"] == "Value" and found[0]["score"][0] == pytest.approx(entry["score"])


def test_cancel_stops_the_search_for_counterfactuals(host, photograph, pack, monkeypatch):
    import comfy.model_management
    module, tried = pack.nodes.critique.explain.counterfactuals, []
    tries = module.SmallCopy.critique

    def interrupted(copy, *others):
        tried.append(others)
        comfy.model_management.interrupt_current_processing()  # what the Cancel button does, during the first edit
        return tries(copy, *others)

    monkeypatch.setattr(module.SmallCopy, "critique", interrupted)
    with pytest.raises(Exception) as error:
        host.run({"1": loaded(photograph), "2": critique_of("1", rubric="*=0; Value=low", counterfactuals=True)})
    assert len(tried) == 1 and "exception_message" not in str(error.value)


@pytest.mark.parametrize("images, sentence", [
    (torch.zeros(64, 64, 3), "images: expected a batch of pictures, [pictures, height, width, channels], got [64, "),
    (torch.full((1, 64, 64, 3), 200.0), "images: expected numbers from 0 to 1, got 200 to 200; divide by 255"),
    (torch.full((1, 64, 64, 3), -9.0), "images: expected numbers from 0 to 1, got -9 to -9"),
    (torch.full((1, 64, 64, 3), 200, dtype=torch.uint8), "images: expected numbers from 0 to 1, got whole ones (u")])
def test_pictures_of_another_shape_or_range_give_a_sentence(pack, images, sentence):
    with pytest.raises(ValueError) as error:
        pack.nodes.critique.picture.planes.check(images)
    assert str(error.value).startswith(sentence)


def test_what_a_decoder_leaves_outside_of_the_range_is_cut(pack):
    image = torch.rand(1, 32, 32, 3) * 1.4 - 0.2
    planes = pack.nodes.critique.picture.planes
    assert torch.equal(planes.Picture.from_images(image).rgb, planes.Picture.from_images(image.clamp(0, 1)).rgb)


@pytest.mark.parametrize("mask, sentence", [
    (torch.ones(1, 1, 64, 64), "mask: expected [pictures, height, width], got [1, 1, 64, 64]"),
    (torch.ones(1, 64, 64, 1), "mask: expected [pictures, height, width], got [1, 64, 64, 1]"),
    (torch.ones(0, 64, 64), "mask: expected "),
    (torch.full((1, 64, 64), 255.0), "mask: expected numbers from 0 (black)"),
    (torch.full((1, 64, 64), float("nan")), "mask: expected numbers from 0 to 1, got NaN or infinity")])
def test_masks_of_another_shape_or_range_give_a_sentence(pack, mask, sentence):
    with pytest.raises(ValueError) as error:
        list(pack.nodes.critique.picture.regions.regions(torch.zeros(1, 64, 64, 3), mask))
    assert str(error.value).startswith(sentence)


def test_a_depth_map_of_another_shape_gives_a_sentence(pack):
    with pytest.raises(ValueError, match="^depth: expected .pictures, height, width, channels., got .64, 64."):
        pack.nodes.critique.measures.pictorial_depth.depth_of(torch.zeros(64, 64), 0, 1, 64, 64)
