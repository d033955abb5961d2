"""What is freed stays with the process: large blocks are not fetched from the system again and again."""
import platform
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "nodes" / "shared" / "freed_memory.py"
FAULTS = """
import resource, runpy, sys
if sys.argv[1] == "kept":
    runpy.run_path(sys.argv[2])["keep"]()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(48 << 20)
before = faults()
for _ in range(8):
    bytearray(48 << 20)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_blocks_are_fetched_once():
    found = {how: int(subprocess.run([sys.executable, "-c", FAULTS, how, str(FILE)], capture_output=True, text=True,
                                     check=True).stdout) for how in ("given back", "kept")}
    assert found["kept"] < 100 and 180 < found["given back"]     # pages of 2 MB, where the system gives these
