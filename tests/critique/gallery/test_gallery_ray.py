"""A gallery that Ray measures: the same bits, and processes go on where it was killed."""
import os
import shutil
import signal
import subprocess
import time

import pytest
from gallery_runs import QUICK, command


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
