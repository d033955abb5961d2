"""Runs the Triton kernels on the CPU, in Triton's interpreter.

In a process of its own, because the interpreter replaces every kernel of the process that imports one."""
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACK = HERE.parents[1]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None,
                    reason="Triton is not on this platform; test_merge.py and test_image_statistics.py prove torch's")
@pytest.mark.parametrize("cases", sorted(path.name for path in (HERE / "interpreted").glob("cases_*.py")))
def test_the_kernels_do_in_the_interpreter_what_they_should(cases):
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(PACK)}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--noconftest", "-c", str(PACK / "tests" / "pytest.ini"),
               "-p", "no:cacheprovider", str(HERE / "interpreted" / cases)]
    done = subprocess.run(command, env=environment, cwd=PACK, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
