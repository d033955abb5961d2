"""Critique Reference: a folder and a batch in the real executor, and what it promises about memory and bad files."""
import json
import math
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from real_host import GraphError

COLUMN = "mean S channel"


@pytest.fixture(scope="module")
def folder(host):
    """input/reference_works: three pictures, one of them below, one file that is no picture, one text."""
    works = host.tmp / "input" / "reference_works"
    (works / "below").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name in ("a.png", "b.jpg", "below/c.png"):
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(works / name)
    (works / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (works / "notes.txt").write_text("no picture")
    return works


def reference_of(folder="", **inputs):
    return {"class_type": "BottegaCritiqueReference", "inputs": {"folder": folder, "name": "", **inputs}}


def shown(source, output):
    return {"class_type": "PreviewAny", "inputs": {"source": [source, output]}}


def small(monkeypatch, critique):
    """Measures at 32 pixels, where the size is not the question: a picture then takes milliseconds."""
    monkeypatch.setattr(critique.reference.collection, "CANONICAL", 32)
    monkeypatch.setattr(critique.reference.collection, "measure", lambda picture, bank: {
        column: critique.measures.MEASURES[column](picture) for column in critique.reference.distributions.SCORED[:1]})
    monkeypatch.setattr(critique.reference.collection, "MEASURES", critique.reference.distributions.SCORED[:1])
    monkeypatch.setattr(critique.reference.collection, "SCORED", critique.reference.distributions.SCORED[:1])


def test_a_folder_and_a_batch_become_a_reference_that_the_critique_takes(host, folder):
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(
        host.tmp / "input" / "reference_extra.png")
    outputs, _ = host.run({
        "1": {"class_type": "LoadImage", "inputs": {"image": "reference_extra.png"}},
        "2": reference_of("reference_works", images=["1", 0], unreadable="skip"), "3": shown("2", 1),
        "4": {"class_type": "BottegaCritique", "inputs": {"images": ["1", 0], "rubric": "", "reference": ["2", 0]}},
        "5": shown("4", 3), "6": shown("4", 2),
        "7": {"class_type": "BottegaChart", "inputs": {"data": ["2", 2], "spec": "plane()"}}})
    assert len(outputs["7"]["images"]) == 1
    report = outputs["3"]["text"][0]
    assert report.startswith("**reference_works**: 4 measured, every percentile ±67.9 points.")
    assert "Careful: reference_works holds 4 pictures" in report
    assert "1 could not be measured" in report and "* torn.png: no picture that can be read" in report
    assert "notes.txt" not in report
    assert outputs["2"]["text"][0] == report
    entry = json.loads(outputs["5"]["text"][0])[0]
    assert 0 <= entry["score"] <= 100 and set(entry["percentiles"]) == set(entry["measures"])


@pytest.mark.parametrize("typed, sentence", [
    ("", "images: expected pictures or a folder of them, got neither"),
    ("no_such_folder", "folder: expected a folder below ComfyUI's input directory that exists or"),
    ("reference_works", "folder: expected pictures that can be measured, got torn.png: no picture that can be read. "
                        "Choose skip at unreadable"),
    ("../output", "folder: expected a folder below ComfyUI's input directory or an absolute path, got ../output"),
])
def test_a_folder_that_cannot_be_read_gives_one_sentence(host, typed, sentence):
    with pytest.raises(GraphError) as error:
        host.run({"1": reference_of(typed), "2": shown("1", 1)})
    assert sentence in str(error.value)


def test_cancel_stops_between_pictures(host, folder, critique, monkeypatch):
    import comfy.model_management
    small(monkeypatch, critique)
    looked_at, load = [], critique.reference.collection.load

    def interrupted(path):
        looked_at.append(path)
        comfy.model_management.interrupt_current_processing()  # what the Cancel button does, during the first picture
        return load(path)

    monkeypatch.setattr(critique.reference.collection, "load", interrupted)
    with pytest.raises(GraphError) as error:
        host.run({"1": reference_of("reference_works", name="cancelled", unreadable="skip"), "2": shown("1", 1)})
    assert len(looked_at) == 1 and "exception_message" not in str(error.value)


def test_a_hundred_pictures_need_the_memory_of_one(critique, pack, tmp_path, monkeypatch):
    small(monkeypatch, critique)
    for number in range(100):
        Image.new("RGB", (16, 16), (number, 2 * number, 0)).save(tmp_path / f"{number:03}.png")
    living, most = weakref.WeakSet(), []

    class Counted(critique.picture.planes.Picture):
        def __init__(self, *given):
            super().__init__(*given)
            living.add(self)

    monkeypatch.setattr(critique.reference.collection, "Picture", Counted)
    paths = pack.nodes.shared.picture_folder.list_folder(tmp_path)
    monkeypatch.setattr(critique.reference.collection, "fit", lambda *given: given)
    made = critique.reference.collection.collect(None, paths, "plain colours", lambda: most.append(len(living)))
    name, _, _, rows, _ = made.reference
    assert len(most) == 100 and max(most) <= 1
    assert rows.shape == (100, 2 + len(critique.measures.pictorial_depth.BY_HEIGHT)) and name == "plain colours"


def test_every_picture_has_a_row_with_the_year_in_its_name(critique, pack, tmp_path, monkeypatch):
    small(monkeypatch, critique)
    names = {"monet_1872 (2).png": 1872, "shot_1280x720.png": None, "seed12345.png": None, "2019.png": 2019}
    for number, name in enumerate(names):
        Image.new("RGB", (20, 20), (60 * number, 0, 0)).save(tmp_path / name)
    rows = critique.report.reference_report.records(critique.reference.collection.collect(
        None, pack.nodes.shared.picture_folder.list_folder(tmp_path), "dated", lambda: None))
    assert {row["file"]: row["year"] for row in rows} == names
    assert all(0 <= row["score"] <= 100 and row["RMS contrast"] >= 0 for row in rows)
    batch = critique.reference.collection.collect(torch.rand(1, 20, 20, 3), None, "batch", lambda: None)
    (label, measures), = batch.pictures
    later = batch._replace(pictures=[(label.replace("1", "1500"), measures)])
    assert critique.report.reference_report.records(later)[0]["year"] is None


def test_a_picture_that_cannot_be_measured_stops_it_unless_told(critique, pack, tmp_path, monkeypatch):
    small(monkeypatch, critique)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    Image.new("RGB", (5, 5)).save(tmp_path / "b.png")
    paths = pack.nodes.shared.picture_folder.list_folder(tmp_path)
    with pytest.raises(ValueError, match="^folder: .* got b.png: images: expected at least 16 x 16 pixels, got 5 x 5"):
        critique.reference.collection.collect(None, paths, "few", lambda: None)
    assert len(critique.reference.collection.collect(None, paths, "few", lambda: None, "skip").broken) == 1


def test_space_can_be_asked_for_where_a_reference_has_it(critique, pack, host, tmp_path, monkeypatch):
    for module in (critique.reference.collection, critique.examination):
        monkeypatch.setattr(module, "CANONICAL", 64)
    rng = np.random.default_rng(3)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    own = critique.reference.collection.collect(
        None, pack.nodes.shared.picture_folder.list_folder(tmp_path), "own", lambda: None
    ).reference
    rubric = critique.rubric.rubric_language.parse("*=0; Space=high")
    picture = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(3))
    assert 0 <= critique.examination.judge_only(picture, own, rubric).score <= 100


def test_names_and_records_tell_apart_pictures_of_two_folders(critique, pack, tmp_path, monkeypatch):
    small(monkeypatch, critique)
    for name in ("a/01.png", "b/01.png", ".hidden/01.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (20, 20), "red").save(tmp_path / name)
    made = critique.reference.collection.collect(None, pack.nodes.shared.picture_folder.list_folder(tmp_path), "two",
                                                 lambda: None)
    records = critique.report.reference_report.records(made)
    assert [record["file"] for record in records] == ["a/01.png", "b/01.png"]
    assert made.notes == ["Hidden, and passed over: .hidden."]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 30])
def test_few_pictures_make_a_reference_with_a_wide_band_and_a_warning(critique, number):
    reference, columns = critique.reference.distributions, list(critique.reference.distributions.SCORED)
    rows = torch.rand(number, len(columns), dtype=torch.float64, generator=torch.Generator().manual_seed(number))
    few = reference.fit("few", "", columns, rows)
    assert few.band == pytest.approx(min(100, 135.8 / math.sqrt(number)))
    assert bool(few.warning) == (number < 20) and sum(few.shares.values()) == pytest.approx(1)
    judged = critique.score.judge.judge(dict(zip(columns, rows[0].tolist(), strict=True)), few)
    assert 0 <= judged.score <= 100


def test_a_reference_lies_where_its_median_lies(critique):
    reference = critique.reference.distributions
    tradition = reference.paintings()
    values = torch.tensor([[tradition.quantiles[COLUMN][place]] for place in range(70, 91)], dtype=torch.float64)
    strong = reference.fit("strong colour", "", [COLUMN], values, [COLUMN])
    wanted, tolerance = reference.target(strong, COLUMN, tradition)
    assert wanted == pytest.approx(80) and 5 < tolerance < 8
