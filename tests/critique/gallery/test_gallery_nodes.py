"""Critique Gallery in the real executor, and what the other nodes choose from its table."""
import json

import pytest
from real_host import GraphError

QUICK = "colour and value"


def gallery(folder, name, **inputs):
    return {"class_type": "BottegaCritiqueGallery", "inputs": {
        "folder": str(folder), "name": name, "measures": QUICK, "workers": 1, **inputs}}


def shown(source, output=0):
    return {"class_type": "PreviewAny", "inputs": {"source": [source, output]}}


@pytest.fixture(scope="module")
def few(folder, tmp_path_factory):
    """Four pictures, of which one cannot be read, with captions, in folders with years in their names."""
    root = tmp_path_factory.mktemp("few.of")
    for name, year in (("a/03.png", 1872), ("b/10.png", 1888), ("b/11.png", 1901), ("b/12.png", 1905)):
        place = root / f"{year} pictures" / name.replace("/", "_")
        place.parent.mkdir()
        place.write_bytes((folder / name).read_bytes())
        place.with_suffix(".txt").write_text(f"a picture of {year}")
    return root


@pytest.fixture(scope="module")
def whole(host, few):
    """What the node shows and gives for these, with every measure."""
    outputs, ran = host.run({"1": gallery(few, "whole", measures="all"), "2": shown("1"), "3": shown("1", 1)})
    bars = [data for event, data in host.events if event == "progress_state"]
    return outputs, bars


def test_the_node_makes_a_table_a_page_and_a_report(host, whole):
    outputs, _ = whole
    assert outputs["2"]["text"] == ["galleries/whole"]
    report = outputs["3"]["text"][0]
    assert "3 pictures measured, 1 could not be; 4 were looked at now" in report
    assert "no picture that can be read" in report
    page = (host.tmp / "output" / "galleries" / "whole" / "gallery.html").read_text(encoding="utf-8")
    assert "Through the years" in page and ">1888<" in page and ">1905<" in page
    assert page.count("<img ") >= 3 * 2 and "http" not in page.replace("http-equiv", "")
    assert str(host.tmp) not in page + report


def test_the_node_shows_how_far_it_is(whole):
    values = [node["value"] for bar in whole[1] for node in bar["nodes"].values() if node["node_id"] == "1"]
    assert max(values) == 4 and values == sorted(values)


def test_cancel_keeps_what_was_measured(host, folder):
    import comfy.model_management
    import comfy.utils

    def after_two(value, total, preview, **_):
        if value >= 2:     # several may come at once
            comfy.model_management.interrupt_current_processing()

    before = comfy.utils.PROGRESS_BAR_HOOK
    comfy.utils.set_progress_bar_global_hook(lambda *a, **k: (before(*a, **k), after_two(*a, **k)))
    try:
        with pytest.raises(GraphError):
            host.run({"1": gallery(folder, "cancelled"), "2": shown("1")})
    finally:
        comfy.utils.set_progress_bar_global_hook(before)
        comfy.model_management.interrupt_current_processing(False)
    from gallery_runs import COUNT
    said = host.run({"1": gallery(folder, "cancelled"), "2": shown("1", 1)})[0]["2"]["text"][0]
    now = int(said.split(" were looked at now")[0].split()[-1])
    assert COUNT - 10 < now <= COUNT - 2


def test_a_disk_that_takes_no_table_is_a_sentence(host, folder, pack, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack.nodes.critique.gallery.parts, "write_whole", full)
    with pytest.raises(GraphError, match=r"name: the gallery could not go on \(No space left on device\)"):
        host.run({"1": gallery(folder, "full"), "2": shown("1")})


def test_rank_images_judges_by_the_table_and_opens_only_what_it_keeps(host, pack, few, whole, monkeypatch):
    by_folder = host.run({"1": {"class_type": "BottegaRankImages", "inputs": {"folder": str(few), "keep": 1}},
                          "2": shown("1", 2)})[0]["2"]["text"]
    monkeypatch.setattr(pack.nodes.critique.nodes.rank_images_run, "judge_picture", None)   # nothing is measured
    ranked = {"class_type": "BottegaRankImages", "inputs": {"keep": 1, "table": "whole", "where": "score >= 0"}}
    outputs, _ = host.run({"1": ranked, "2": shown("1", 2), "3": shown("1", 3)})
    assert outputs["2"]["text"] == by_folder and len(by_folder) == 3
    assert "3 of 3 pictures of the table whole are taken (score >= 0)." in outputs["3"]["text"][0]
    for where, sentence in (("score > 100", "expected at least one picture that is left"), ("Balance = 2", "weights"),
                            ("Balence > 3", "close: balance"), ("score >", "expected NAME > 60")):
        with pytest.raises(GraphError, match=sentence):
            host.run({"1": {**ranked, "inputs": {**ranked["inputs"], "where": where}}, "2": shown("1", 2)})


def test_a_reference_of_the_table_is_that_of_the_folder(host, few, whole, pack):
    found = {}
    node = pack.nodes.critique.nodes.CritiqueReference
    for name, inputs in (("folder", {"folder": str(few), "unreadable": "skip"}),
                         ("table", {"table": "galleries/whole"})):
        found[name] = node.execute(name="mine", **inputs).result
    reference, other = found["folder"][0], found["table"][0]
    assert other._replace(source="") == reference._replace(source="")
    assert json.loads(found["folder"][2]) == json.loads(found["table"][2])
    with pytest.raises(ValueError, match="expected every measure, got those of colour and value alone"):
        host.run({"1": gallery(few, "")})
        node.execute(table=few.name)


def test_a_training_set_learns_what_the_table_chooses(pack, few, whole):
    settled = pack.nodes.training.data.sources.settled
    sources, notes = settled("", [], [], [], [], "", "", "none", "whole", "Value = 1; first = 2")
    assert len(sources) == 2 and all(source.caption.startswith("a picture of 1") for source in sources)
    assert any("2 of 3 pictures of the table whole are taken (Value = 1; first = 2). 2 of them lie" in note
               for note in notes)
    part, _ = settled(str(few / "1901 pictures"), [], [], [], [], "", "", "none", "whole", "")
    assert [source.name for source in part] == ["b_11.png"]
    with pytest.raises(ValueError, match="where: expected a table to choose from, got none"):
        settled(str(few), [], [], [], [], "", "", "none", "", "score > 3")


@pytest.mark.parametrize("inputs, sentence", [
    ({"folder": ""}, "folder: expected a folder of pictures"), ({"folder": "s3://b/c"}, "addresses are read by the"),
    ({"name": "../x"}, "name: expected letters"), ({"folder": "not there"}, "that exists"),
    ({"name": "con"}, "got con, which Windows keeps"), ({"name": "NUL.x"}, "which Windows keeps"),
    ({"ray": "nowhere:1"}, "ray: ")])
def test_what_is_asked_wrongly_gets_a_sentence(host, few, inputs, sentence):
    with pytest.raises(GraphError, match=sentence):
        host.run({"1": {**gallery(few, "wrong"), "inputs": {**gallery(few, "wrong")["inputs"], **inputs}}})
