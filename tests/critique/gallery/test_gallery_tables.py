"""The table of a gallery: its parts, the page that is drawn of them, and what it goes on with."""
import json
import sys

import numpy as np
import pytest
import torch
from gallery_runs import QUICK, command


def test_without_pyarrow_the_parts_are_csv_with_the_same_bits(made, rows, alone, tmp_path, monkeypatch):
    parts, tables = alone("critique.gallery.parts"), alone("shared.picture_table")
    about = json.loads((made[0] / "gallery.json").read_text())
    parts.begin(tmp_path / "csv", about)
    monkeypatch.setattr(tables, "has_parquet", lambda: False)
    writer = parts.PartWriter(tmp_path / "csv", about["columns"])
    for row in rows(made[0]).values():
        writer.add({name: value for name, value in row.items() if value is not None})
    writer.flush()
    assert [part.suffix for part in tables.parts(tmp_path / "csv")] == [".csv"]
    assert rows(tmp_path / "csv") == rows(made[0])


def test_parts_stay_where_nothing_but_pyarrow_is_missing(made, alone, monkeypatch):
    pytest.importorskip("pyarrow.parquet", reason="without it there are no such parts")
    before = sorted(made[0].iterdir())
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match="^out: Parquet files need pyarrow"):
        alone("critique.gallery.parts").known(made[0])
    assert sorted(made[0].iterdir()) == before


@pytest.fixture(params=["parquet", "csv"])
def table_of_parts(alone, request, tmp_path, monkeypatch):
    """(function that opens a table of three parts of which the last tells one picture anew, the parts read so far)."""
    parts, tables = alone("critique.gallery.parts"), alone("shared.picture_table")
    if request.param == "parquet":
        pytest.importorskip("pyarrow.parquet", reason="pyarrow writes the parts")
    columns = ["score", "criterion Value", "L", "b"]
    parts.begin(tmp_path, {"measures": "all", "rubric": "", "reference": "paintings", "root": "", "source": "",
                           "columns": columns})
    writer, read = parts.PartWriter(tmp_path, columns), []
    writer.parquet = request.param == "parquet"
    for number, names in enumerate((("a", "b"), ("c", "d"), ("a",))):
        for name in names:
            writer.add({"path": name, "size": 1, "mtime_ns": 1, "error": "torn" if name == "d" else "",
                        **dict.fromkeys(columns, 10 * number + ord(name) / 1000)})
        writer.flush()
    real = tables.read_part
    monkeypatch.setattr(tables, "read_part", lambda part, names: read.append(part) or real(part, names))
    return lambda: tables.PictureTable(tmp_path), read


def test_columns_that_are_read_together_are_those_that_are_read_alone(table_of_parts):
    opened, read = table_of_parts
    table = opened()
    table.load(["L", "b", "L"])
    assert table.names == ["a", "b", "c"] and table.numbers("L").tolist() == [20.097, 0.098, 10.099]
    assert [*table.rows(["b", "L"])][0] == {"b": 20.097, "L": 20.097} and len(read) == 3
    assert opened().numbers("b").tolist() == table.numbers("b").tolist() and table.errors == {"d": "torn"}


def test_a_page_reads_each_part_once_and_is_drawn_again_only_for_another_table(alone, table_of_parts, monkeypatch):
    page, (opened, read) = alone("critique.gallery.page"), table_of_parts
    looks = []
    path = page.write(opened(), lambda: looks.append(len(read)))
    assert read == opened().parts and looks[:3] == [0, 1, 2]
    drawn = path.read_text(encoding="utf-8")
    assert "3 pictures measured, 1 that could not be" in drawn and "20.1" in drawn and "<td>d<td>torn" in drawn
    path.write_text(drawn + "kept", encoding="utf-8")
    page.write(opened(), lambda: None)
    assert path.read_text(encoding="utf-8").endswith("kept") and len(read) == 3
    alone("critique.gallery.parts").note_gone(opened().folder, ["b"])
    page.write(opened(), lambda: None)
    assert "2 pictures measured" in path.read_text(encoding="utf-8")
    monkeypatch.setattr(page, "FORM", page.FORM + 1)
    page.write(opened(), lambda: None)
    assert len(read) == 9


def test_the_page_draws_numbers_that_are_almost_the_same(alone):
    drawn = alone("critique.gallery.page")._histogram(np.array([1.0, np.nextafter(1.0, 2.0)]))
    assert drawn.count("<rect") == 24 and ">0.5<" in drawn


def test_a_table_goes_on_only_with_what_it_was_begun_with(made, folder):
    run = command(folder, "--out", made[0], "--measures", QUICK, "--rubric", "Balance=2")
    error = run.communicate(timeout=60)[1]
    assert run.returncode == 2 and "out: quick holds a table of another rubric; choose another folder" in error


def test_a_table_goes_on_with_a_reference_whose_last_digits_another_machine_measured(alone, tmp_path):
    """And with what an earlier version wrote of the same one, which was the hash of all its digits."""
    distributions, making = alone("critique.reference.distributions"), alone("critique.gallery.making")
    measuring, parts = alone("critique.gallery.measuring"), alone("critique.gallery.parts")
    rows = torch.rand(30, len(distributions.SCORED), dtype=torch.float64)

    def begin(folder, factor, earlier=False):
        found = measuring.plain(distributions.fit("mine", "30", distributions.SCORED, rows * factor))
        settings = measuring.Settings(reference=found)
        nowhere = alone("critique.gallery.entries").Source([], "", [])
        about, before = making.about(settings, nowhere, ["score"]), making.told_before(settings)
        parts.begin(folder, about | before if earlier else about, before)
        return about["reference"], json.loads((folder / "gallery.json").read_text())["reference"]

    first, again = begin(tmp_path / "new", 1)[1], begin(tmp_path / "new", 1 + 4e-12)[1]
    assert first == again
    told, held = begin(tmp_path / "old", 1, earlier=True)
    assert held != told and begin(tmp_path / "old", 1)[1] == told
    with pytest.raises(ValueError, match="holds a table of another reference; choose another folder"):
        begin(tmp_path / "new", torch.linspace(0.9, 1.1, 30, dtype=torch.float64)[:, None])


def test_of_a_hundred_thousand_known_pictures_only_the_new_and_the_changed_are_left(alone, tmp_path):
    """How long a million take is measured by `dev.py bench gallery --only known`."""
    pq = pytest.importorskip("pyarrow.parquet", reason="as many rows of CSV take longer")
    import pyarrow as pa
    parts, count = alone("critique.gallery.parts"), 100_000
    paths = [f"gallery/{number // 1000}/picture_{number:08}.jpg" for number in range(count)]
    for number in range(100):
        own = paths[number::100]
        pq.write_table(pa.table({"path": own, "size": pa.array([7] * len(own), pa.int64()),
                                 "mtime_ns": pa.array([9] * len(own), pa.int64()), "error": [""] * len(own)}),
                       tmp_path / f"part-{number:03}.parquet")
    entry = alone("critique.gallery.entries").Entry
    entries = [entry(path, 7, 9, path) for path in paths] + [entry(paths[0], 7, 10, ""), entry("new", 7, 9, "")]
    known, notes = parts.known(tmp_path)
    left = [each for each in entries if known.get(each.path) != each.key]
    assert [each.path for each in left] == [paths[0], "new"] and not notes


def test_the_pace_tells_no_rate_before_a_picture_is_done(alone):
    pace = alone("critique.gallery.making").Pace(20)
    assert str(pace) == "0 of 20 pictures"
    pace.add(1, 1)
    assert str(pace).startswith("1 of 20 pictures, 1 with an error, ") and str(pace).endswith(" left")


@pytest.mark.parametrize("text", ["[]", "{}", '{"columns": 5}', "torn"])
def test_a_table_that_tells_nothing_is_one_sentence(alone, tmp_path, text):
    (tmp_path / "gallery.json").write_text(text)
    with pytest.raises(ValueError, match="^out: gallery.json in .* cannot be read; choose another folder$"):
        alone("critique.gallery.parts").begin(tmp_path, {"source": "", "columns": []})
    with pytest.raises(ValueError, match="^table: expected a folder that Critique Gallery made"):
        alone("shared.picture_table").PictureTable(tmp_path)
