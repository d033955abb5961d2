"""Where the pictures of a gallery come from: folders, tar files, lists and addresses, whole or damaged, and what is
said of the others."""
import errno
import gzip
import io
import os
import tarfile
from importlib.util import find_spec
from types import SimpleNamespace

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
        assert found.notes[-1] == f"There more than once, of which the last one counts: {name}."


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


@pytest.fixture
def find(alone):
    return lambda source: alone("critique.gallery.entries").find(source, lambda: None)


def names(found):
    return [entry.path for entry in found.entries]


def test_what_a_folder_holds_beside_its_pictures_is_told(find, tmp_path):
    for name in ("a.png", "b.heic", "a.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    tar_of(tmp_path / "t.tar", {"c.png": b"1"})
    found = find(tmp_path)
    assert names(found) == ["a.png", "t.tar/c.png"] and found.notes == [
        "Left out, because the links lead nowhere: gone.jpg.",
        "Left out, because the installed Pillow opens no .heic files by itself: b.heic.",
        "Hidden, and passed over: .hidden.png."]


def test_hidden_names_are_passed_over_in_tar_files_and_at_addresses_as_in_folders(find, tmp_path):
    files = dict.fromkeys(("a.png", "._a.png", "__MACOSX/b.png", ".set/c.png", ".set/d.png", "e/f.png", "g.heic",
                           "a.json"), b"1")
    tar_of(tmp_path / "mac.tar", files)
    root = tmp_path / ".root"
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")
    told = ("Left out, because the installed Pillow opens no .heic files by itself: {0}g.heic.",
            "Hidden, and passed over: {0}._a.png, {0}.set.")
    for source, above in [(tmp_path / "mac.tar", "mac.tar/")] + [(root.as_uri(), "")] * bool(find_spec("pyarrow")):
        found = find(source)
        assert names(found) == [f"{above}a.png", f"{above}e/f.png"]
        assert sorted(found.notes, reverse=True) == [each.format(above) for each in told]


def test_hard_links_of_a_tar_file_are_pictures_and_other_links_are_told(alone, find, tmp_path):
    kinds = {"b.png": tarfile.LNKTYPE, "c.png": tarfile.SYMTYPE, "d.png": tarfile.LNKTYPE}
    with tarfile.open(tmp_path / "l.tar", "w") as packed:
        first = tarfile.TarInfo("./a.png")
        first.size = 5
        packed.addfile(first, io.BytesIO(b"bytes"))
        for name, kind in kinds.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "nothing.png" if name == "d.png" else "a.png"
            packed.addfile(link)
    found = find(tmp_path / "l.tar")
    opened = alone("critique.gallery.measuring")._opened
    assert {entry.path: opened(entry).read() for entry in found.entries} == {
        "l.tar/./a.png": b"bytes", "l.tar/b.png": b"bytes"}
    assert found.notes == ["Left out, because they are symbolic links in a tar file: l.tar/c.png.",
                           "Left out, because the links lead nowhere: l.tar/d.png."]


def test_a_sparse_file_of_a_tar_file_is_told(find, tmp_path):
    header = tar_of(tmp_path / "s.tar", {"a.png": b"1"}, pax_headers={
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1", "GNU.sparse.size": "9"})
    assert b"sparse" in header
    with pytest.raises(ValueError, match="got none in s.tar. Left out, because they are sparse files in a tar file: s"):
        find(tmp_path / "s.tar")


def test_a_list_is_read_without_the_columns_that_it_has_beside(find, tmp_path, monkeypatch):
    pq, pa = (pytest.importorskip(name, reason="pyarrow reads lists") for name in ("pyarrow.parquet", "pyarrow"))
    pq.write_table(pa.table({"image": [b"x"], "path": ["a.png"], "mtime_ns": [3], "size": [2]}), tmp_path / "l.parquet")
    read, asked = pq.ParquetFile.read, []
    monkeypatch.setattr(pq.ParquetFile, "read", lambda self, columns=None: asked.append(columns) or read(self, columns))
    assert [entry[:3] for entry in find(tmp_path / "l.parquet").entries] == [("a.png", 2, 3)]
    assert asked == [["path", "size", "mtime_ns"]]


@pytest.fixture
def made_of(alone, tmp_path, monkeypatch):
    """made_of(source): the table of its pictures, which are measured in no time."""
    making, measuring = alone("critique.gallery.making"), alone("critique.gallery.measuring")
    monkeypatch.setattr(measuring.Measurer, "numbers", lambda self, pixels: {"score": float(pixels[0, 0, 0])})
    monkeypatch.setattr(alone("critique.gallery.pool"), "rows", lambda left, settings, workers, halt: map(
        measuring.Measurer(settings).row, left))
    request = making.Request("", tmp_path / "table", measuring.Settings("colour and value"), 1)

    def make(source):
        made = making.make(request._replace(source=source), lambda: None, lambda pace: None)
        return made, alone("shared.picture_table").PictureTable(made.table)
    return make


def png(path, level=0):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (16, 16), (level, 0, 0)).save(path)
    return path


def test_a_tar_file_or_a_list_never_goes_on_with_the_table_of_another(made_of, tmp_path):
    """One that was made before tables said what they are of is taken up, and says it from then on."""
    tars = [tmp_path / side / "shard.tar" for side in "ab"]
    for level, path in enumerate(tars):
        path.parent.mkdir()
        tar_of(path, {"0.png": png(tmp_path / "0.png", level).read_bytes()})
    assert made_of(tars[0])[1].numbers("score").tolist() == [0]
    about = tmp_path / "table" / "gallery.json"
    for source in (tars[1], tmp_path / "b"):
        with pytest.raises(ValueError, match="^out: table holds a table of other pictures; choose another folder$"):
            made_of(source)
    about.write_text(about.read_text().replace('"source"', '"before"'))
    assert made_of(tars[0])[0].done == 0 and str(tars[0]) in about.read_text()


def test_keys_in_an_address_are_not_written_into_the_table(alone, monkeypatch):
    fs = pytest.importorskip("pyarrow.fs", reason="pyarrow reads addresses")
    info = fs.FileInfo("bucket/x/a.png", fs.FileType.File, size=3)
    store = SimpleNamespace(get_file_info=lambda selector: [info])
    monkeypatch.setattr(fs, "FileSystem", SimpleNamespace(from_uri=lambda address: (store, "bucket/x")))
    found = alone("critique.gallery.entries").find("s3://key:secret@bucket/x?region=y", lambda: None)
    assert found.place == "s3://bucket/x" and found.entries[0][:2] == ("a.png", 3)


def test_pictures_where_nobody_may_look_are_not_said_to_be_gone(made_of, tmp_path, monkeypatch):
    root = tmp_path / "pictures"
    for name in ("a.png", "b/c.png", "b/d.png"):
        png(root / name)
    tar_of(root / "t.tar", {"e.png": (root / "a.png").read_bytes()})
    made_of(root)
    (root / "b" / "d.png").unlink()
    gone = ["No longer there, and passed over until they are back: b/d.png."]
    assert made_of(root)[0].notes == gone
    real = os.scandir

    def scandir(path):
        if str(path).endswith("b"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path)
    monkeypatch.setattr(os, "scandir", scandir)
    (root / "t.tar").write_bytes(b"no tar" * 200)
    made, table = made_of(root)
    assert made.notes[-1:] == gone and "(Permission denied): b." in made.notes[1] and len(made.notes) == 3
    assert table.names == ["a.png", "b/c.png", "t.tar/e.png"]


@pytest.mark.skipif(os.name == "nt", reason="names there are text")
def test_a_table_finds_pictures_and_tar_files_whose_names_are_no_text(made_of, tmp_path):
    root = tmp_path / "pictures"
    content = png(root / "a.png").read_bytes()
    own = os.fsdecode(os.fsencode(root) + b"/caf\xe9")
    try:
        tar_of(type(root)(own + ".tar"), {"b.png": content})
    except OSError:
        pytest.skip("this file system takes text alone")
    png(type(root)(own + ".png"))
    _, table = made_of(root)
    assert table.names == ["a.png", r"caf\udce9.png", r"caf\udce9.tar/b.png"]
    assert table.path(table.names[1]).read_bytes() and table.is_packed(table.names[2])
