"""Where the pictures of a gallery come from: folders, tar files, lists and addresses, whole or damaged."""
import gzip
import io
import os
import tarfile

import pytest
from PIL import Image


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
