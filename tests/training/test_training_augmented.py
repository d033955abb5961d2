"""`a += b` is told from `a.add_(b)` on every Python the pack supports."""
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "nodes" / "training" / "model" / "augmented.py"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")

PROBE = """
import runpy, sys
is_augmented = runpy.run_path(sys.argv[1])["is_augmented_assignment"]

class Number:
    def seen(self, other):
        self.augmented = is_augmented(sys._getframe(1))
        return self
    __iadd__ = __isub__ = __imul__ = __itruediv__ = add_ = seen

def operators(a):
    a += 1; yield a.augmented
    a -= 1; yield a.augmented
    a *= 1; yield a.augmented
    a /= 1; yield a.augmented

def calls(a):
    yield a.add_(1).augmented
    b = a.add_(2); yield b.augmented

for _ in range(100):        # often enough for specialised bytecode
    assert all(operators(Number())), "an operator was not seen"
    assert not any(calls(Number())), "a call was taken for an operator"
"""


def interpreter(version):
    if sys.version_info[:2] == tuple(int(n) for n in version.split(".")):
        return sys.executable
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(found[-1]) if found else pytest.skip(f"no Python {version} on this machine")


@pytest.mark.parametrize("version", VERSIONS)
def test_operators_and_calls_are_told_apart(version):
    run = subprocess.run([interpreter(version), "-c", PROBE, str(MODULE)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
