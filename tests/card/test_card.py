"""Every node of the pack on a pretended card, where a tensor on the wrong device is an error as it is on a real one.

In processes of their own, because torch knows the card from then on."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("cases", sorted(path.name for path in (TESTS / "card" / "cases").glob("cases_*.py")))
def test_on_the_card(cases):
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(TESTS / "pytest.ini"), "-p", "no:cacheprovider",
               str(TESTS / "card" / "cases" / cases)]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, env={**os.environ, "BOTTEGA_DEVICE": ""})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
