import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS / "server"), str(TESTS / "training")]

from live import server  # noqa: E402, F401
from workbench import Workbench  # noqa: E402


@pytest.fixture(scope="session")
def bench(pack, host, tmp_path_factory):
    return Workbench(host, pack, tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def held():
    """held(outcomes): fails with what went wrong where anything did."""
    def check(outcomes):
        found = list(outcomes)
        assert found and not [outcome for outcome in found if not outcome.ok]
    return check
