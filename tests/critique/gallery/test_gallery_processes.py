"""The processes of a gallery: one that is stopped, killed or dies costs at most its picture, and the table goes on."""
import os
import shutil
import signal
import subprocess
import time

import pytest
from gallery_runs import BROKEN, COUNT, QUICK, command


def test_every_picture_has_a_row_and_a_broken_one_says_why(made, rows):
    found = rows(made[0])
    wrong = {name: row["error"] for name, row in found.items() if row["error"]}
    assert len(found) == COUNT and wrong.keys() == BROKEN
    assert wrong == {"a/03.png": "no picture that can be read", "a/05.png": "image file is truncated",
                     "b/07.png": "no picture that can be read",
                     "b/09.png": "images: expected at least 16 x 16 pixels, got 4 x 4"}
    assert f"{COUNT} of {COUNT} pictures measured now, 4 with an error" in made[1]


MORE = 150


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


def test_fewer_than_no_processes_are_refused(made, folder):
    run = command(folder, "--out", made[0], "--workers", -1)
    error = run.communicate(timeout=60)[1]
    assert run.returncode == 2 and "workers: expected at least one process" in error and "got -1" in error
