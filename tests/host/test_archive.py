"""What the registry's archive holds: read from .comfyignore as comfy-cli reads it."""
from pathlib import Path

import pytest
from pathspec import PathSpec

PACK = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def ignored():
    lines = (PACK / ".comfyignore").read_text(encoding="utf-8").splitlines()
    return PathSpec.from_lines("gitwildmatch", lines).match_file


def test_everything_that_the_pack_opens_when_it_runs_is_in_it(ignored, pack):
    found = [file for folder in ("nodes", "kernels", "web", "example_workflows") for file in (PACK / folder).rglob("*")]
    files = [file for file in found if file.is_file() and not {"__pycache__", "benchmarks"} & set(file.parts)]
    files += [PACK / name for name in ("__init__.py", "pyproject.toml", "README.md", "LICENSE")]
    files.append(pack.kernels.dispatch.RESULTS / "gpu_any.json")
    assert len(files) > 300 and not [file for file in files if ignored(file.relative_to(PACK).as_posix())]


@pytest.mark.parametrize("name", ["dev.py", "workshop/host.py", ".ci/pins.ini", "starter/train.py", "tests/conftest.py",
                                  ".venv/x", ".workshop/x", "kernels/benchmarks/gpu.py", "nodes/__pycache__/x.pyc"])
def test_what_only_developers_use_is_not(name, ignored):
    assert ignored(name)
