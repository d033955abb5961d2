"""The table of a gallery: the same bits whatever measures it, and however often it is killed."""
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import torch
from gallery_runs import BROKEN, COUNT, command
from PIL import Image

QUICK = "colour and value"
MORE = 150
DEADLY = '''
import os, runpy
given = runpy.run_path({worker!r})          # under another name, so that it only defines
measuring = runpy.run_path({alone!r})["module"]("critique.gallery.measuring")
measured = measuring.Measurer.row
def row(self, entry):
    if "04" in entry.path:
        os._exit(9)                         # as a decoder that crashes
    return measured(self, entry)
measuring.Measurer.row = row
given["main"](CONNECTION)
'''


def test_every_picture_has_a_row_and_a_broken_one_says_why(made, rows):
    found = rows(made[0])
    wrong = {name: row["error"] for name, row in found.items() if row["error"]}
    assert len(found) == COUNT and wrong.keys() == BROKEN
    assert wrong == {"a/03.png": "no picture that can be read", "a/05.png": "image file is truncated",
                     "b/07.png": "no picture that can be read",
                     "b/09.png": "images: expected at least 16 x 16 pixels, got 4 x 4"}
    assert f"{COUNT} of {COUNT} pictures measured now, 4 with an error" in made[1]


def test_a_run_that_is_killed_goes_on_and_gives_the_same_bits(made, folder, rows, alone, tmp_path):
    """With further copies of a picture behind the others, so many that no machine is done before it is stopped."""
    out, more = tmp_path / "killed", shutil.copytree(folder, tmp_path / "pictures")
    (more / "c").mkdir()
    for number in range(MORE):
        shutil.copy2(folder / "a" / "00.png", more / "c" / f"{number:03}.png")
    arguments = more, "--out", out, "--workers", 1, "--measures", QUICK
    run = command(*arguments)
    while not (text := run.stderr.read(60)) or "3 of" not in text:      # of its line of progress
        assert run.poll() is None
    run.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)   # as Ctrl C: what was measured is kept
    run.communicate(timeout=60)
    before = rows(out)
    assert 3 <= len(before) < COUNT + MORE
    run = command(*arguments)
    time.sleep(3)
    run.kill()
    run.communicate(timeout=60)
    part = next(out.glob("part-*"))
    (out / f"part-0{part.suffix}").write_bytes(part.read_bytes()[:300])     # as a disk that was full leaves one
    run = command(*arguments, stdout=subprocess.PIPE)
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 0 and "put aside" in said
    whole, found = COUNT + MORE, rows(out)
    assert f"of {whole} pictures measured now" in said and f"{whole} of {whole}" not in said
    assert len(found) == whole and {name: row for name, row in found.items() if name[0] != "c"} == rows(made[0])


@pytest.fixture
def settings(alone):
    return alone("critique.gallery.measuring").Settings(QUICK)


def test_a_process_that_dies_of_a_picture_costs_that_row_alone(made, folder, rows, alone, settings, tmp_path):
    pool, entries = alone("critique.gallery.pool"), alone("critique.gallery.entries")
    script = tmp_path / "deadly.py"
    shared = pool.WORKER.parents[2] / "shared" / "pack_alone.py"
    script.write_text(DEADLY.format(worker=str(pool.WORKER), alone=str(shared)))
    left = entries.find(folder, lambda: None).entries[:8]
    found = {row["path"]: row for row in pool.rows(left, settings, 2, lambda: None, script)}
    assert found.keys() == {entry.path for entry in left}
    assert found["a/04.png"]["error"] == "the process that measured it died (exit code 9)"
    expected = rows(made[0])
    assert all(row["RMS contrast"] == expected[name]["RMS contrast"] for name, row in found.items() if not row["error"])


DEAF = '''
import pathlib, time
time.sleep(20)                              # as one that still loads torch
pathlib.Path({marker!r}).touch()
'''


def test_a_cancel_is_seen_before_a_process_listens_however_much_it_is_to_be_sent(alone, tmp_path):
    pool, settings = alone("critique.gallery.pool"), alone("critique.gallery.measuring").Settings
    class Cancel(Exception):
        pass

    looks = iter(range(3))          # before each start, and once when both have begun

    def halt():
        if next(looks, None) is None:
            raise Cancel
    script, marker = tmp_path / "deaf.py", tmp_path / "it ended"
    script.write_text(DEAF.format(marker=str(marker)))
    left = [alone("critique.gallery.entries").Entry(name, 1, 1, name) for name in "ab"]
    with pytest.raises(Cancel):     # more than a connection holds on any system
        list(pool.rows(left, settings(rubric=" " * 4_000_000), 2, halt, script))
    assert not marker.exists()


def test_all_measures_are_those_of_art_critique_bit_for_bit(pack, folder, alone):
    measuring, entries = alone("critique.gallery.measuring"), alone("critique.gallery.entries")
    measurer = measuring.Measurer(measuring.Settings())
    entry = next(each for each in entries.find(folder, lambda: None).entries if each.path == "b/11.png")
    row = measurer.row(entry)
    image, _ = pack.nodes.critique.reference.collection.load(folder / "b" / "11.png")
    request = pack.nodes.critique.examination.default_request()._replace(drawn=False)
    with torch.inference_mode():
        critique = pack.nodes.critique.examination.criticise(image, request).critique.critique
    assert {name: row[name] for name in critique.measures} == critique.measures and len(critique.measures) > 70
    assert row["score"] == critique.score
    assert {verdict.criterion.name: verdict.points for verdict in critique.verdicts if verdict.points is not None} == {
        name.removeprefix("criterion "): row[name] for name in row if name.startswith("criterion ") and not any(
            place.criterion.name == name.removeprefix("criterion ") for place in critique.positions)}
    assert measurer.columns[0] == "score" and row.keys() <= {"path", "size", "mtime_ns", "error", *measurer.columns}


@pytest.mark.parametrize("among", ["paintings", "everything"])
@pytest.mark.parametrize("rubric", ["", "*=0; Colour richness=high", "Contrast=high; Texture=1", "Color entropy=1",
                                    "@Albers", "@Wölfflin"])
def test_criteria_of_colour_and_value_alone_are_those_of_all_measures_bit_for_bit(alone, monkeypatch, rubric, among):
    measuring, distributions = alone("critique.gallery.measuring"), alone("critique.reference.distributions")
    paintings, measures = distributions.paintings(), alone("critique.measures").MEASURES
    own = paintings._replace(quantiles={each: list(map(float, range(101))) for each in measures} | paintings.quantiles)
    reference = None if among == "paintings" else measuring.plain(own)
    monkeypatch.setattr(measuring, "CANONICAL", 96)
    pixels = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    quick, whole = (measuring.Measurer(measuring.Settings(kind, rubric, reference)).numbers(pixels)
                    for kind in (QUICK, "all"))
    assert quick == {name: whole[name] for name in quick} and "score" not in quick
    named = {name.removeprefix("criterion ") for name in quick if name.startswith("criterion ")}
    if not rubric:
        assert {"Colour richness", "Value", "Contrast"} <= named and not {"Texture", "Balance", "Proportion"} & named


def test_tar_files_parquet_lists_and_addresses_hold_the_same_pictures(folder, alone, settings, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow reads lists and addresses")
    import pyarrow as pa
    entries, measuring = alone("critique.gallery.entries"), alone("critique.gallery.measuring")
    measurer, names = measuring.Measurer(settings), ["b/10.png", "b/11.png"]
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for name in names:
            shard.add(folder / name, name)
        shard.addfile(tarfile.TarInfo("b/10.json"))
    pq.write_table(pa.table({"path": [str(folder / name) for name in names] + ["gone.png"]}), tmp_path / "list.parquet")
    (tmp_path / "few").mkdir()
    for name in names:
        os.link(folder / name, tmp_path / "few" / name.removeprefix("b/"))
    plain = [measurer.row(entry) for entry in entries.find(folder, lambda: None).entries if entry.path in names]
    sources = (tmp_path / "shard.tar", tmp_path / "list.parquet", (tmp_path / "few").as_uri(), tmp_path)
    for source in sources[:3]:
        found = [measurer.row(entry) for entry in entries.find(source, lambda: None).entries]
        assert [row["RMS contrast"] for row in found[:2]] == [row["RMS contrast"] for row in plain]
        assert [row["error"] for row in found[2:]] == ["No such file or directory"] * (source == sources[1])
    assert [entry.path for entry in entries.find(tmp_path, lambda: None).entries] == [
        "few/10.png", "few/11.png", "shard.tar/b/10.png", "shard.tar/b/11.png"]
    with pytest.raises(ValueError, match="a tar file without compression, got broken.tar"):
        (tmp_path / "broken.tar").write_bytes(b"x" * 2000)
        entries.find(tmp_path / "broken.tar", lambda: None)


def tar_of(path, files, **header):
    """A tar file of {name: bytes}, whose headers say what is given."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in header.items():
                setattr(member, key, value)
            packed.addfile(member, io.BytesIO(content))
    return path.read_bytes()


def test_of_a_name_that_a_tar_file_or_a_list_has_twice_the_last_one_counts(alone, tmp_path):
    """As `tar -r` leaves a changed picture behind the old one; with both no run of a gallery would be the last."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    entries = alone("critique.gallery.entries")
    with tarfile.open(tmp_path / "s.tar", "w") as packed:
        for name, size in (("cat.png", 3), ("dog.png", 4), ("cat.png", 5)):
            member = tarfile.TarInfo(name)
            member.size = size
            packed.addfile(member, io.BytesIO(b"x" * size))
    pq.write_table(pa.table({"path": ["a.png", "a.png"], "size": [3, 5], "mtime_ns": [1, 2]}), tmp_path / "l.parquet")
    for source, name in ((tmp_path / "s.tar", "s.tar/cat.png"), (tmp_path, "s.tar/cat.png"),
                         (tmp_path / "l.parquet", "a.png")):
        found = entries.find(source, lambda: None)
        assert {entry.path: entry.size for entry in found.entries}[name] == 5
        assert len({entry.path for entry in found.entries}) == len(found.entries)
        assert found.notes == [f"There more than once, of which the last one counts: {name}."]


def test_tar_files_that_are_none_or_not_whole_are_named_and_the_folder_goes_on(alone, tmp_path):
    entries = alone("critique.gallery.entries")
    Image.new("RGB", (9, 9)).save(tmp_path / "own.png")
    whole = tar_of(tmp_path / "cut.tar", {"a.png": b"1" * 600, "b.png": b"2" * 600})
    for name, content in (("cut.tar", whole[:2000]), ("empty.tar", b""), ("packed.tar", gzip.compress(whole)),
                          ("text.tar", b"no tar at all" * 99)):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "mid.tar").write_bytes(whole[:1536] + b"?" * 512 + whole[2048:])
    tar_of(tmp_path / "odd.tar", {"c.png": b"3"}, pax_headers={"size": "-5"})
    found = entries.find(tmp_path, lambda: None)
    assert [entry.path for entry in found.entries] == ["own.png", "cut.tar/a.png", "mid.tar/a.png"]
    [note] = found.notes
    assert note.startswith("Left out whole, or from where they are damaged, as no tar files without compression: "
                           "cut.tar (unexpected end of data), empty.tar (empty file), ")
    assert "mid.tar (damaged header), odd.tar (" in note and note.endswith(" and 1 more.")
    for name in ("own.png", "cut.tar", "mid.tar"):
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match="expected at least one picture, got none in .*empty.tar .empty file"):
        entries.find(tmp_path, lambda: None)


@pytest.mark.parametrize(("header", "kept"), [
    ({"pax_headers": {"mtime": "nan"}}, 0), ({"mtime": 2 ** 36}, 2 ** 63 - 1),
    ({"pax_headers": {"mtime": "-inf"}}, 1 - 2 ** 63), ({"mtime": 7}, 7 * 10 ** 9)])
def test_times_that_no_table_holds_become_the_nearest_that_it_does(alone, tmp_path, header, kept):
    tar_of(tmp_path / "one.tar", {"a.png": b"1"}, **header)
    [entry] = alone("critique.gallery.entries").find(tmp_path / "one.tar", lambda: None).entries
    writer = alone("critique.gallery.parts").PartWriter(tmp_path, [])
    writer.add({**entry._asdict(), "error": ""})
    writer.flush()
    assert alone("critique.gallery.parts").known(tmp_path)[0] == {"one.tar/a.png": (1, kept)}


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
    parts.begin(tmp_path, {"measures": "all", "rubric": "", "reference": "paintings", "root": "", "columns": columns})
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


def test_columns_that_are_read_together_are_those_that_are_read_alone(table_of_parts):
    opened, read = table_of_parts
    table = opened()
    table.load(["L", "b", "L"])
    assert table.names == ["a", "b", "c"] and table.numbers("L").tolist() == [20.097, 0.098, 10.099]
    assert [*table.rows(["b", "L"])][0] == {"b": 20.097, "L": 20.097} and len(read) == 3
    assert opened().numbers("b").tolist() == table.numbers("b").tolist() and table.errors == {"d": "torn"}


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
        about, before = making.about(settings, "", ["score"]), making.told_before(settings)
        parts.begin(folder, about | before if earlier else about, before)
        return about["reference"], json.loads((folder / "gallery.json").read_text())["reference"]

    first, again = begin(tmp_path / "new", 1)[1], begin(tmp_path / "new", 1 + 4e-12)[1]
    assert first == again
    told, held = begin(tmp_path / "old", 1, earlier=True)
    assert held != told and begin(tmp_path / "old", 1)[1] == told
    with pytest.raises(ValueError, match="holds a table of another reference; choose another folder"):
        begin(tmp_path / "new", torch.linspace(0.9, 1.1, 30, dtype=torch.float64)[:, None])


def test_fewer_than_no_processes_are_refused(made, folder):
    run = command(folder, "--out", made[0], "--workers", -1)
    error = run.communicate(timeout=60)[1]
    assert run.returncode == 2 and "workers: expected at least one process" in error and "got -1" in error


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


@pytest.fixture
def by_ray():
    """by_ray(folder, out, workers): the command that measures with Ray on this machine."""
    pytest.importorskip("ray.data", reason="Ray is installed where it is asked for")

    def start(folder, out, workers):
        return command(folder, "--out", out, "--workers", workers, "--measures", QUICK, "--ray", "local",
                       env={**os.environ, "RAY_worker_niceness": "0"},  # else its processes wait for every other test
                       start_new_session=True)
    return start


def test_ray_gives_the_same_bits(made, folder, rows, by_ray, tmp_path):
    run = by_ray(folder, tmp_path / "ray", 2)
    error = run.communicate(timeout=400)[1]
    assert run.returncode == 0, error
    assert rows(tmp_path / "ray") == rows(made[0])


def test_the_processes_go_on_with_the_same_bits_where_ray_was_killed(made, folder, rows, by_ray, tmp_path):
    """The pictures five times over: Ray is killed when it has written the first part of two, in whichever order."""
    out, more = tmp_path / "killed", tmp_path / "pictures"
    expected = {}
    for name in "vwxyz":
        shutil.copytree(folder, more / name)
        expected |= {f"{name}/{path}": {**row, "path": f"{name}/{path}"} for path, row in rows(made[0]).items()}
    run, began = by_ray(more, out, 1), time.monotonic()
    while not list(out.glob("part-*")):
        assert run.poll() is None and time.monotonic() - began < 400
        time.sleep(.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    before, whole = rows(out), len(expected)
    assert 0 < len(before) < whole
    run = command(more, "--out", out, "--workers", 2, "--measures", QUICK, stdout=subprocess.PIPE)
    said, error = run.communicate(timeout=300)
    assert run.returncode == 0, error
    assert f"of {whole} pictures measured now" in said and f"{whole} of {whole}" not in said
    found = rows(out)
    assert found == expected and all(found[path] == row for path, row in before.items())
