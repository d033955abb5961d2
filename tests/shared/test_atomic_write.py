"""Files that appear whole or not at all, under a name that nothing else has; what a dead process left is cleared."""
import errno
import os
import time
import uuid

import pytest


@pytest.fixture(scope="module")
def atomic(pack):
    return pack.nodes.shared.atomic_write


def content(text):
    return lambda path: path.write_text(text, encoding="utf-8")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def without_links(*_):
    raise OSError(errno.EPERM, "links are not supported")


@pytest.fixture(params=["links", "no links"])
def volume(request, monkeypatch):
    """A volume with hard links, and one without, as exFAT and some network drives are."""
    if request.param == "no links":
        monkeypatch.setattr(os, "link", without_links)


def test_a_new_file_takes_the_first_name_that_is_free(atomic, volume, tmp_path):
    for text in "abc":
        atomic.write_new(tmp_path, "ink", ".txt", content(text))
    assert names(tmp_path) == ["ink.txt", "ink_00001.txt", "ink_00002.txt"]
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == list("abc")


def test_a_name_that_is_a_folder_or_a_link_to_nothing_is_taken_too(atomic, volume, tmp_path):
    (tmp_path / "ink.txt").mkdir()
    (tmp_path / "ink_00001.txt").symlink_to(tmp_path / "nowhere")
    assert atomic.write_new(tmp_path, "ink", ".txt", content("a")).name == "ink_00002.txt"


def test_no_name_is_seen_before_its_content_is_whole(atomic, volume, tmp_path):
    def write(path):
        path.write_text("half")
        assert [name for name in names(tmp_path) if not name.endswith(".tmp")] == []
        path.write_text("whole")

    assert atomic.write_new(tmp_path, "ink", ".txt", write).read_text() == "whole"


@pytest.mark.parametrize("name", ["a" * 251 + ".txt", "漫" * 83 + ".txt"])
def test_the_longest_name_can_be_written_and_its_leftover_is_known(atomic, tmp_path, name):
    def write(path):
        assert len(os.fsencode(path.name)) <= 143 and atomic.LEFTOVER.fullmatch(path.name)
        path.write_text("x")

    atomic.write_whole(tmp_path / name, write)
    assert not atomic.write_unless_there(tmp_path / name, write) and names(tmp_path) == [name]


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return oct(path.stat().st_mode & 0o7777)


def private(path):
    """As safetensors writes: another file, which its owner alone can read."""
    path.unlink()
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("write", [private, content("a")], ids=["private", "open"])
def test_a_new_file_is_as_open_as_the_system_makes_files(atomic, volume, umask, tmp_path, write):
    atomic.write_whole(tmp_path / "whole", write)
    atomic.write_unless_there(tmp_path / "there", write)
    new = atomic.write_new(tmp_path, "new", ".txt", write)
    assert {mode(path) for path in (tmp_path / "whole", tmp_path / "there", new)} == {oct(0o666 & ~umask)}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("before", [0o664, 0o640, 0o444, 0o600])
def test_whoever_may_read_a_file_may_read_the_one_in_its_place(atomic, tmp_path, before):
    kept = tmp_path / "kept.txt"
    kept.write_text("old")
    kept.chmod(before)
    atomic.write_whole(kept, content("new"))
    assert kept.read_text() == "new" and mode(kept) == oct(before)


def test_what_a_link_leads_to_is_written_and_the_link_stays(atomic, tmp_path):
    real, link = tmp_path / "real" / "a.txt", tmp_path / "links" / "a.txt"
    for path in (real, link):
        path.parent.mkdir()
    real.write_text("old")
    link.symlink_to(real)
    atomic.write_whole(link, content("new"))
    assert link.is_symlink() and real.read_text() == "new" and not real.is_symlink()
    assert names(tmp_path / "links") == names(tmp_path / "real") == ["a.txt"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_what_fails_while_it_is_written_leaves_nothing_and_keeps_what_was_there(atomic, tmp_path, failure):
    def fail(path):
        path.write_text("half")
        raise failure

    (tmp_path / "kept.txt").write_text("old")
    with pytest.raises(failure):
        atomic.write_new(tmp_path, "ink", ".txt", fail)
    with pytest.raises(failure):
        atomic.write_whole(tmp_path / "kept.txt", fail)
    assert names(tmp_path) == ["kept.txt"] and (tmp_path / "kept.txt").read_text() == "old"


def test_a_file_and_its_folder_are_on_the_disk_before_it_is_reported(atomic, tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def noted(handle):
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    monkeypatch.setattr(os, "fsync", noted)
    path = atomic.write_new(tmp_path / "new", "ink", ".txt", content("a"))
    assert [entry.endswith(".tmp") for entry in synced] == [True, False, False]
    assert synced[1:] == [str(path.parent), str(tmp_path)]


def test_a_disk_that_cannot_take_the_content_gives_no_name(atomic, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_new(tmp_path, "ink", ".txt", content("a"))
    assert names(tmp_path) == []


def leftover(folder, process, hours=25.0, name="ink.safetensors"):
    path = folder / f"{name}{process}.{uuid.uuid4().hex}.tmp"
    path.write_text("half")
    os.utime(path, (time.time() - hours * 3600,) * 2)
    return path


DEAD = ".4194999"  # above the most that Linux gives


def test_leftovers_of_the_dead_are_cleared_by_the_next_file_and_named(atomic, tmp_path, caplog):
    own = f".{os.getpid()}"     # in a container the number of the run before, too
    gone = [leftover(tmp_path, DEAD), leftover(tmp_path, own), leftover(tmp_path, DEAD, name="two\nlines")]
    kept = [leftover(tmp_path, DEAD, hours=23), leftover(tmp_path, own, hours=23), leftover(tmp_path, ".1"),
            leftover(tmp_path, "")]     # the last is another program's
    for name in ("ink.tmp", "ink.safetensors.tmp", "a" * 32 + ".tmp"):  # a person's own
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (0, 0))
        kept.append(tmp_path / name)
    atomic.write_whole(tmp_path / "next.txt", content("a"))
    assert set(tmp_path.iterdir()) == {*kept, tmp_path / "next.txt"}
    assert all(path.name in caplog.text for path in gone)


def test_a_folder_is_looked_into_once_by_a_process(atomic, tmp_path, monkeypatch):
    looks, real = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looks.append(folder) or real(folder))
    for name in "abc":
        atomic.write_whole(tmp_path / name, content("a"))
    assert looks == [tmp_path]


def test_a_folder_that_is_not_there_holds_no_leftovers(atomic, tmp_path):
    assert atomic.clear_leftovers([tmp_path / "none", tmp_path]) == []
