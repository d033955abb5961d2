"""Art Critique in the real executor, with the pictures and the core nodes a user would wire to it."""
import json

import numpy as np
import pytest
import torch
from PIL import Image

COLUMNS = {"RMS contrast", "Luminance entropy", "Edge density", "Color entropy", "mean S channel", "std a channel",
           "std b channel (Lab)", "std S channel", "Mirror symmetry", "DCM distance", "Balance", "Slope Redies",
           "Homogeneity", "1st-order EOE", "2nd-order EOE"}


@pytest.fixture(scope="module")
def photographs(host):
    """Two pieces of real photographs, as PNG files where the core LoadImage looks for them."""
    data = pytest.importorskip("skimage.data", reason="the photographs come with scikit-image")
    pixels = {"critique_eye.png": data.chelsea()[60:180, 100:260], "critique_cup.png": data.coffee()[100:220, 150:310]}
    for name, picture in pixels.items():
        Image.fromarray(picture).save(host.tmp / "input" / name)
    Image.new("RGB", (1, 1), "red").save(host.tmp / "input" / "critique_pixel.png")
    return list(pixels)


def loaded(name):
    return {"class_type": "LoadImage", "inputs": {"image": name}}


def critique_of(source, **inputs):
    return {"class_type": "BottegaCritique", "inputs": {"images": [source, 0], "rubric": "", **inputs}}


def shown(source, output):
    return {"class_type": "PreviewAny", "inputs": {"source": [source, output]}}


def previewed(source, output):
    return {"class_type": "PreviewImage", "inputs": {"images": [source, output]}}


def picture_of(host, entry):
    return np.asarray(Image.open(host.tmp / entry["type"] / entry["subfolder"] / entry["filename"]).convert("RGB"))


@pytest.fixture(scope="module")
def run(host, photographs):
    """The ui outputs of a batch of two pictures and of each picture alone."""
    eye, cup = photographs
    alone = {"1": loaded(eye), "2": loaded(cup), "3": critique_of("1"), "4": critique_of("2"), "5": shown("3", 3),
             "6": shown("4", 3)}
    batch = {"20": {"class_type": "ImageBatch", "inputs": {"image1": ["1", 0], "image2": ["2", 0]}},
             "21": critique_of("20"), "22": shown("21", 3), "23": shown("21", 2), "24": previewed("21", 4),
             "25": previewed("21", 5), "26": shown("21", 0), "27": shown("21", 1)}
    outputs, _ = host.run({**alone, **batch})
    return outputs


def test_a_batch_of_two_equals_two_single_runs(run):
    together = json.loads(run["22"]["text"][0])
    alone = [json.loads(run[node]["text"][0])[0] for node in ("5", "6")]
    assert together == alone


def test_data_names_every_measure_as_the_published_tables_do(run):
    entry = json.loads(run["22"]["text"][0])[0]
    for part in ("measures", "native", "percentiles"):
        assert set(entry[part]) >= COLUMNS, part
    assert entry["size"] == [160, 120] and entry["measured_size"] == [1024, 768]
    assert entry["native"]["Edge density"] != entry["measures"]["Edge density"]
    assert set(entry["contributions"]) <= set(entry["criteria"])
    assert sum(entry["contributions"].values()) == pytest.approx(entry["score"] - entry["baseline"], rel=0, abs=1e-9)


def test_the_score_is_the_mean_and_the_list_has_one_a_picture(run):
    entries = json.loads(run["22"]["text"][0])
    assert [float(text) for text in run["27"]["text"]] == pytest.approx([entry["score"] for entry in entries])
    assert float(run["26"]["text"][0]) == pytest.approx(sum(entry["score"] for entry in entries) / 2)


def test_the_report_begins_with_what_the_score_is_and_is_not(run):
    report = run["23"]["text"][0]
    first, second = report.split("\n\n")[:2]
    assert first.startswith("**Score ") and "95 % band" in first
    assert "position in a tradition" in second and "1,629 Western paintings" in second and "not beauty" in second
    assert report.count("### Criteria") == report.count("Heat map: ") == 2
    assert "enlarged from 160 x 120" in report


def test_the_node_shows_the_first_lines_and_the_chart(run):
    assert run["21"]["text"][0] == "\n\n".join(run["23"]["text"][0].split("\n\n")[:2])
    assert len(run["21"]["images"]) == 2


def test_every_picture_gets_its_own_chart_and_heat_map(host, run):
    for node in ("24", "25"):
        first, second = (picture_of(host, entry) for entry in run[node]["images"])
        assert first.shape == second.shape and (first != second).any()
        assert len(np.unique(first.reshape(-1, 3), axis=0)) > 50


def test_one_pixel_gives_one_sentence_that_names_the_input(host, run):
    with pytest.raises(Exception) as error:
        host.run({"1": loaded("critique_pixel.png"), "2": critique_of("1")})
    assert "images: expected at least 16 x 16 pixels, got 1 x 1" in str(error.value)


def test_cancel_stops_between_pictures(host, photographs, pack, monkeypatch):
    import comfy.model_management
    critic = pack.nodes.critique.critic
    looked_at, study = [], critic.study

    def interrupted(image, *others):
        looked_at.append(image)
        comfy.model_management.interrupt_current_processing()  # what the Cancel button does, during the first picture
        return study(image, *others)

    monkeypatch.setattr(critic, "study", interrupted)
    with pytest.raises(Exception) as error:
        host.run({"1": loaded(photographs[0]),
                  "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 3}},
                  "3": critique_of("2")})
    assert len(looked_at) == 1 and "exception_message" not in str(error.value)


def saved(source, output, prefix):
    return {"class_type": "SaveImage", "inputs": {"images": [source, output], "filename_prefix": prefix}}


def written_critique(host, entry):
    """What the core Save Image wrote into a PNG under the key of the critique."""
    text = Image.open(host.tmp / "output" / entry["subfolder"] / entry["filename"]).text
    return json.loads(text["bottega_critique"]) if "bottega_critique" in text else None


def test_the_core_save_image_writes_the_critique_into_the_file(host, photographs, pack):
    for number in range(2):  # the second time nothing but the prefix is new, and the host caches what it can
        prompt = {"1": loaded(photographs[0]), "2": critique_of("1", in_metadata=True),
                  "3": saved("2", 6, f"with_critique_{number}")}
        outputs = host.run(prompt, extra_pnginfo={"workflow": {"nodes": []}})[0]
        (entry,) = written_critique(host, outputs["3"]["images"][0])["2"]
        score = float(outputs["2"]["text"][0].split("**Score ")[1].split(" of")[0])
        assert entry["score"] == pytest.approx(score, abs=0.05) and len(entry["reasons"]) == 3
        assert {"Line", "Balance"} <= {criterion["name"] for criterion in entry["criteria"]}


def test_without_asking_nothing_is_added_to_the_file(host, photographs):
    prompt = {"1": loaded(photographs[0]), "2": critique_of("1"), "3": saved("2", 6, "without_critique")}
    outputs = host.run(prompt, extra_pnginfo={"workflow": {"nodes": []}})[0]
    assert written_critique(host, outputs["3"]["images"][0]) is None


def test_a_prompt_that_cannot_carry_metadata_is_told_so(host, photographs):
    outputs, _ = host.run({"1": loaded(photographs[0]), "2": critique_of("1", in_metadata=True)})
    assert "in_metadata: this prompt carries no extra_pnginfo" in outputs["2"]["text"][0]


def test_the_page_gets_scores_reasons_and_a_strip_of_heat_maps(host, run):
    first, second = json.loads(run["21"]["bottega_critique"][0])
    assert first["score"] != second["score"] and len(first["reasons"]) == 3
    strip = Image.open(host.tmp / first["heat"]["type"] / first["heat"]["subfolder"] / first["heat"]["filename"])
    assert strip.mode == "RGBA" and strip.size == (64, 48 * first["heat"]["tiles"])
    mapped = {c["name"]: c["column"] for c in first["criteria"] if c["tile"] is not None}
    assert mapped["Line"] == "Edge density" and first["band"][0] < first["score"] < first["band"][1]


@pytest.fixture(scope="module")
def asked(host, photographs):
    """One picture by a critic, by a rubric, under a mask and with a depth map."""
    white = np.pad(np.full((60, 80), 255, np.uint8), ((30, 30), (40, 40)))
    Image.fromarray(white).save(host.tmp / "input" / "mask.png")
    slope = np.linspace(0, 255, 160)[None].repeat(120, 0).astype(np.uint8)
    Image.fromarray(slope).save(host.tmp / "input" / "depth.png")
    graph = {"1": loaded(photographs[0]), "2": loaded("depth.png"),
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


def test_a_mask_judges_its_rectangle_as_a_picture_of_its_own(asked):
    assert asked["12"]["region"] == [40, 30, 120, 90] and asked["12"]["size"] == [80, 60]
    assert asked["12"]["score"] == asked["13"]["score"] and asked["13"]["region"] is None


def test_a_depth_map_adds_the_measures_of_space(asked):
    with_depth, without = asked["12"]["measures"], asked["13"]["measures"]
    assert {"Depth spread", "Aerial contrast"} <= set(with_depth) and "Depth spread" not in without
    assert with_depth["Depth spread"] == pytest.approx(1 / 12 ** 0.5, abs=0.02)  # even from near to far
    assert asked["12"]["criteria"]["Space"]["weight"] == 0


@pytest.mark.parametrize("inputs, sentence", [
    ({"mask": ["9", 0]}, "mask: expected some white, which marks the part to judge, got an all-black mask"),
    ({"rubric": "@Woelfflin"}, "rubric: expected at least one criterion with a weight above 0 that was measured"),
    ({"depth": ["8", 0]}, "depth: expected one map, or one for each of the 1 pictures, got 2"),
])
def test_what_cannot_be_judged_gives_one_sentence(host, photographs, inputs, sentence):
    with pytest.raises(Exception) as error:
        host.run({"1": loaded(photographs[0]), "2": critique_of("1", **inputs),
                  "8": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 2}},
                  "9": {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 64, "height": 64}}})
    assert sentence in str(error.value)


def test_a_faulty_rubric_is_refused_before_anything_runs(host, photographs):
    _, errors = host.validate({"1": loaded(photographs[0]), "2": critique_of("1", rubric="Valeu=2")})
    assert "did you mean" in str(errors["nodes"]["2"])


def test_a_prompt_from_before_there_was_a_rubric_still_runs(host, photographs):
    old = {"1": loaded(photographs[0]), "2": {"class_type": "BottegaCritique", "inputs": {"images": ["1", 0]}}}
    assert host.validate(old)[1] == {}


@pytest.mark.parametrize("unusual", [lambda y, x: x > 0.8, lambda y, x: (y > 0.7) & (x < 0.3)])
def test_the_heat_of_balance_lies_where_the_weight_is(pack, unusual):
    critique = pack.nodes.critique
    y, x = torch.meshgrid(torch.linspace(0, 1, 128), torch.linspace(0, 1, 160), indexing="ij")
    heavy = unusual(y, x)
    subject = critique.picture.Picture.from_images(heavy.float()[None, ..., None])
    density = critique.measures.densities.DENSITIES["DCM distance"](subject)[0]
    plane = critique.explain.heat(density, 128, 160)
    assert plane.max() == 1 and plane.min() >= 0
    assert plane[heavy].mean() > 10 * plane[~heavy].mean()
