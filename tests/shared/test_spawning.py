"""Processes of the pack: what they run, what they do not, and that none outlives its parent."""
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parents[2]
MAIN = '''
import os, runpy, sys, time
from pathlib import Path
here = Path(__file__).parent
with open(here / "main_ran", "a") as file:      # as a prestartup script of another pack would
    file.write("x")
module = runpy.run_path(sys.argv[1])["module"]
if __name__ == "__main__":
    spawning = module("shared.spawning")
    end, theirs = spawning.pipe()
    child = spawning.start(here / "child.py", "a_child", CONNECTION=theirs, ALONE=sys.argv[1])
    theirs.close()
    print(end.recv_bytes().decode(), child.pid, flush=True)
    time.sleep(60 if sys.argv[2] == "wait" else 0)
    print(spawning.wait([end, child.sentinel], 10) != [], flush=True)
    spawning.end(child)
    print(child.exitcode)
'''
CHILD = '''
import runpy, sys, time
spawning = runpy.run_path(ALONE)["module"]("shared.spawning")
spawning.end_with_parent()
CONNECTION.send_bytes(" ".join((__name__, "comfy" if "comfy" in sys.modules else "alone")).encode())
time.sleep(60 if sys.argv[2] == "wait" else 0)
'''


@pytest.fixture
def scripts(tmp_path):
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "child.py").write_text(CHILD)
    return tmp_path


def begin(scripts, how):
    alone = PACK / "nodes" / "shared" / "pack_alone.py"
    return subprocess.Popen([sys.executable, str(scripts / "main.py"), str(alone), how], stdout=subprocess.PIPE,
                            text=True)


def test_a_child_runs_its_file_alone_and_the_main_script_runs_once(scripts):
    parent = begin(scripts, "end")
    said = parent.communicate(timeout=60)[0].split()
    assert said[:2] == ["a_child", "alone"] and said[3:] == ["True", "0"]
    assert (scripts / "main_ran").read_text() == "x"


@pytest.mark.skipif(os.name == "nt", reason="looks the process up by a signal")
def test_a_child_ends_when_its_parent_is_killed(scripts):
    parent = begin(scripts, "wait")
    child = int(parent.stdout.readline().split()[2])
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the child lives on")
