"""Critique Gallery in the real executor, and what the other nodes choose from its table."""
import csv
import json
import os
import shutil
import tarfile
import unicodedata

import pytest
from gallery_runs import QUICK
from real_host import GraphError


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


@pytest.fixture
def changing(few, whole, host, tmp_path):
    """A folder of two of the pictures and a tar file of a third, with their table, made of what was measured of few."""
    names = {"1888 pictures/b_10.png": "one.png", "1901 pictures/b_11.png": "two.png",
             "1905 pictures/b_12.png": "old.tar/three.png"}
    rows, out, root = read(host.tmp / "output" / "galleries" / "whole"), host.tmp / "output" / "galleries", tmp_path
    for name, new in list(names.items())[:2]:
        (root / new).write_bytes((few / name).read_bytes())
    (root / "old.tar").write_bytes(b"")
    about = json.loads((out / "whole" / "gallery.json").read_text()) | {"root": str(root)}
    shutil.rmtree(out / "changing", ignore_errors=True)
    (out / "changing").mkdir()
    (out / "changing" / "gallery.json").write_text(json.dumps(about))
    with open(out / "changing" / "part-0.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for old, new in names.items():
            row = next(row for row in rows[1:] if row[0] == old)
            status = (root / new).stat() if (root / new).exists() else None
            writer.writerow([new, status.st_size if status else 1, status.st_mtime_ns if status else 1, *row[3:]])
    return root


def read(folder):
    """The rows of a table as text, its names first."""
    from importlib import import_module
    part = next(folder.glob("part-*"))
    if part.suffix == ".csv":
        return list(csv.reader(part.open(newline="")))
    held = import_module("pyarrow.parquet").read_table(part)
    return [held.column_names, *map(list, zip(*(held[name].to_pylist() for name in held.column_names), strict=True))]


def refuse():
    raise PermissionError(13, "Permission denied")


def test_pictures_that_are_gone_are_named_and_neither_ranked_nor_counted(pack, changing, monkeypatch):
    rank = pack.nodes.critique.nodes.rank_images_run.rank
    (changing / "two.png").rename(changing / "away")
    best, ordered, scores, report = rank((), "", 1, None, "", "changing").result
    assert report.startswith("**Best of 1: one.png**") and len(scores) == 1
    assert "No longer there, and not ranked: two.png." in report
    assert "as they lie in a tar file, and not ranked: old.tar/three.png." in report
    (changing / "two.png").write_bytes(b"torn")
    report = rank((), "", 2, None, "", "changing").result[3]
    assert report.startswith("**Best of 1: one.png**") and "* two.png: no picture that can be read" in report
    look = os.stat
    with monkeypatch.context() as locked:
        locked.setattr(os, "stat", lambda path, **more: refuse() if "two.png" in str(path) else look(path, **more))
        report = rank((), "", 2, None, "", "changing").result[3]
    assert "No longer there" not in report and "* two.png: " in report
    (changing / "one.png").unlink()
    with pytest.raises(ValueError, match="table: expected at least one picture that can be opened, got two.png:"):
        rank((), "", 2, None, "", "changing")


def test_a_gallery_that_goes_on_passes_over_what_is_gone_until_it_is_back(pack, host, changing):
    gallery, table = pack.nodes.critique.gallery, pack.nodes.shared.picture_table
    out = host.tmp / "output" / "galleries" / "changing"
    tarfile.open(changing / "old.tar", "w").close()
    names = lambda: table.PictureTable(out).names

    def again():
        request = gallery.making.Request(changing, out, gallery.measuring.Settings(), 1)
        return gallery.making.make(request, lambda: None, lambda pace: None)
    (changing / "two.png").rename(changing / "away")
    made = again()
    assert made.done == 0 and names() == ["one.png"]
    assert made.notes[-1] == "No longer there, and passed over until they are back: old.tar/three.png, two.png."
    assert table.fingerprint("changing", lambda: str(host.tmp / "output")).count(" ") == 1
    (changing / "away").rename(changing / "two.png")
    assert again().done == 0 and names() == ["one.png", "two.png"]


def test_sorted_holds_no_more_bytes_than_it_may(pack, few, whole, monkeypatch):
    run = pack.nodes.critique.nodes.rank_images_run
    monkeypatch.setattr(run, "SORTED_BYTES", 2 * 64 * 96 * 3 * 4)
    best, ordered, scores, report = run.rank((), "", 1, None, "", "whole").result
    assert (len(best[0]), len(ordered[0]), len(scores)) == (1, 2, 3) and "`sorted` holds the first 2 of 3" in report
    assert len(run.rank((), "", 3, None, "", "whole").result[1][0]) == 3


@pytest.mark.parametrize("rubric, sentence", [("Space=2", "rubric: Space cannot count: "),
                                              ("*=0; learned=high", "rubric: a table holds no learned score")])
def test_a_rubric_that_cannot_be_met_is_told_before_anything_is_measured(pack, few, whole, monkeypatch, rubric,
                                                                         sentence):
    measuring, run = pack.nodes.critique.gallery.measuring, pack.nodes.critique.nodes.rank_images_run
    score = pack.nodes.critique.learned.learned_score
    paintings = pack.nodes.critique.reference.distributions.paintings()
    learned = score.with_learned(paintings, lambda image: 5.0, score.scale(1, 10))
    with pytest.raises(ValueError, match=sentence):
        measuring.Measurer(measuring.Settings(rubric=rubric, reference=measuring.plain(learned)))
    monkeypatch.setattr(run, "_judged", None)
    with pytest.raises(ValueError, match=sentence):
        run.rank((), rubric, 1, learned, "", "whole")
    with pytest.raises(ValueError, match="rubric: (Space|learned) cannot count"):
        run.rank((), rubric, 1, None, str(few))
    for kind, text in (("colour and value", rubric), ("all", "@Wölfflin")):
        measuring.Measurer(measuring.Settings(kind, text))


def test_the_node_asks_for_another_name_where_the_folder_of_the_table_is_taken(host, pack, few):
    begin = pack.nodes.critique.gallery.parts.begin
    about = {"root": "", "source": "", "measures": "all", "rubric": "", "reference": "paintings",
             "columns": ["score"]}
    begin(host.tmp / "output" / "galleries" / "taken", about)
    with pytest.raises(ValueError, match="^name: taken holds a table of other pictures; choose another name$"):
        pack.nodes.critique.nodes.critique_gallery_run.run("1", str(few), "taken", "", None, "all", 1, "", False)


def test_a_table_of_other_columns_says_how_it_came_to_be(pack, tmp_path):
    begin, filtered = pack.nodes.critique.gallery.parts.begin, list(pack.nodes.critique.measures.FILTERED)
    about = {"root": "", "source": "", "measures": "all", "rubric": "", "reference": "", "columns": ["score", "a"]}
    begin(tmp_path, about)
    for columns, words in ((["score", "a", *filtered], "a table made without the file of AlexNet's filters"),
                           (["score"], "a table of other columns (a is gone), as another version")):
        with pytest.raises(ValueError, match=words.replace("(", ".").replace(")", ".")):
            begin(tmp_path, about | {"columns": columns})


@pytest.mark.parametrize("name", ["ภาพที่ดี", "चित्र", "தமிழ்", "רִשּׁוּם", "Gema\u0308lde", "a (1)_b.c"])
def test_galleries_have_names_in_any_script(pack, name):
    checked = pack.nodes.critique.nodes.critique_gallery_run._checked_name(name)
    assert checked == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", ["a/b", "a\\b", "\u0308a", ".a", "a ", "a\u200bb", "漫" * 80, "photos [2020]"])
def test_other_names_are_refused(pack, name):
    with pytest.raises(ValueError, match="name: expected letters, digits"):
        pack.nodes.critique.nodes.critique_gallery_run._checked_name(name)


def test_the_node_runs_again_when_its_file_or_its_table_changes(pack, host):
    node, file = pack.nodes.critique.nodes.CritiqueGallery, host.tmp / "input" / "shard.tar"
    out = host.tmp / "output" / "galleries" / "shard"
    seen = []
    for change in (lambda: file.write_bytes(b"x"), lambda: file.write_bytes(b"xy"), lambda: out.mkdir(parents=True),
                   lambda: (out / "gallery.json").write_text("{}"), lambda: (out / "part-1.csv").write_text("")):
        change()
        seen.append(node.fingerprint_inputs("shard.tar", "", again=True))
    assert seen[0] != seen[1] == seen[2] and len({*seen}) == 4 and node.fingerprint_inputs("none.tar") == "none.tar"


def test_the_node_runs_again_when_a_picture_of_its_list_changes(pack, host, tmp_path):
    pq, pa = (pytest.importorskip(name, reason="pyarrow reads lists") for name in ("pyarrow.parquet", "pyarrow"))
    pq.write_table(pa.table({"path": ["a.png", "gone.png"]}), tmp_path / "l.parquet")
    (tmp_path / "a.png").write_bytes(b"1")
    node = pack.nodes.critique.nodes.CritiqueGallery
    version = lambda: node.fingerprint_inputs(str(tmp_path / "l.parquet"), "listed")
    before = version()
    assert version() == before
    (tmp_path / "a.png").write_bytes(b"22")
    assert version() != before


@pytest.mark.parametrize("content, sentence", [
    (b"hello" * 10, "folder: l.parquet cannot be read"), ({"path": [1, 2]}, "in the column path of l.parquet, got int"),
    ({"path": ["gone.png"], "size": [1.5], "mtime_ns": [None]}, "")])
def test_a_list_that_is_damaged_or_of_something_else_is_one_sentence(pack, tmp_path, content, sentence):
    pq, pa = (pytest.importorskip(name, reason="pyarrow reads lists") for name in ("pyarrow.parquet", "pyarrow"))
    path, find = tmp_path / "l.parquet", pack.nodes.critique.gallery.entries.find
    path.write_bytes(content) if isinstance(content, bytes) else pq.write_table(pa.table(content), path)
    if not sentence:
        assert [entry.key for entry in find(path, lambda: None).entries] == [(0, 0)]
        return
    with pytest.raises(ValueError, match=sentence) as found:
        find(path, lambda: None)
    assert str(tmp_path) not in str(found.value)


@pytest.mark.parametrize("inputs, sentence", [
    ({"folder": ""}, "folder: expected a folder of pictures"), ({"folder": "s3://b/c"}, "addresses are read by the"),
    ({"name": "../x"}, "name: expected letters"), ({"folder": "not there"}, "that exists"),
    ({"name": "con"}, "got con, which Windows keeps"), ({"name": "NUL.x"}, "which Windows keeps"),
    ({"ray": "127.0.0.1:1"}, "ray: (expected the address of a cluster that answers|Ray Data is not installed)")])
def test_what_is_asked_wrongly_gets_a_sentence(host, few, inputs, sentence):
    with pytest.raises(GraphError, match=sentence):
        host.run({"1": {**gallery(few, "wrong"), "inputs": {**gallery(few, "wrong")["inputs"], **inputs}}})
