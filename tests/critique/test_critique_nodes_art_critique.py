"""Art Critique in the real executor, with the pictures and the core nodes a user would wire to it."""
import json
from pathlib import Path

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
    critic = pack.nodes.critique.examination
    looked_at, criticise = [], critic.criticise

    def interrupted(image, *others):
        looked_at.append(image)
        comfy.model_management.interrupt_current_processing()  # what the Cancel button does, during the first picture
        return criticise(image, *others)

    monkeypatch.setattr(critic, "criticise", interrupted)
    with pytest.raises(Exception) as error:
        host.run({"1": loaded(photographs[0]),
                  "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 3}},
                  "3": critique_of("2")})
    assert len(looked_at) == 1 and "exception_message" not in str(error.value)


def test_the_page_gets_scores_reasons_and_a_strip_of_heat_maps(host, run):
    first, second = json.loads(run["21"]["bottega_critique"][0])
    assert first["score"] != second["score"] and len(first["reasons"]) == 3
    ground, strip = (Image.open(host.tmp / first[name]["type"] / first[name]["subfolder"] / first[name]["filename"])
                     for name in ("ground", "heat"))
    assert ground.size == (256, 192) and 100 < np.ptp(np.asarray(ground)) < 179  # in grey, with 0.7 of its contrast
    assert strip.mode == "RGBA" and strip.size == (64, 48 * first["heat"]["tiles"])
    mapped = {c["name"]: c["column"] for c in first["criteria"] if c["tile"] is not None}
    ends = {c["name"]: c["ends"] for c in first["criteria"]}
    assert ends["Line"] == ["adds nothing", "adds most"] and ends["Symmetry"] == ["alike", "differs most"]
    assert first["tries"] == []  # nobody asked
    assert [c["measure"] for c in first["criteria"] if c["name"] == "Line"] == ["Amount of edges (Edge density)"]
    assert mapped["Line"] == "Edge density" and first["band"][0] < first["score"] < first["band"][1]


def test_the_key_on_the_page_has_the_colours_of_the_heat_maps(pack):
    style = (Path(__file__).parents[2] / "web" / "critique" / "style.css").read_text(encoding="utf-8")
    colours = ", ".join("rgb({} {} {})".format(*stop) for stop in pack.nodes.charts.drawing.theme.HEAT)
    assert f"90deg,\n  {colours})" in style


@pytest.mark.parametrize("unusual", [lambda y, x: x > 0.8, lambda y, x: (y > 0.7) & (x < 0.3)])
def test_the_heat_of_balance_lies_where_the_weight_is(pack, unusual):
    critique = pack.nodes.critique
    y, x = torch.meshgrid(torch.linspace(0, 1, 128), torch.linspace(0, 1, 160), indexing="ij")
    heavy = unusual(y, x)
    subject = critique.picture.planes.Picture.from_images(heavy.float()[None, ..., None])
    density = critique.measures.densities.DENSITIES["DCM distance"](subject)[0]
    plane = critique.explain.heat_maps.heat(density, 128, 160)
    assert plane.max() == 1 and plane.min() >= 0
    assert plane[heavy].mean() > 10 * plane[~heavy].mean()
