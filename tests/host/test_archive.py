"""What the registry's archive holds: read from .comfyignore as comfy-cli reads it."""
import re
from pathlib import Path

import pytest
from pathspec import PathSpec
from PIL import Image

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


@pytest.mark.parametrize("name", ["dev.py", "devtools/host.py", ".ci/pins.ini", "starter/train.py", "tests/conftest.py",
                                  "CONTRIBUTING.md", "docs/pictures/banner.png", ".venv/x",
                                  ".workshop/x", "kernels/benchmarks/gpu.py", "nodes/__pycache__/x.pyc"])
def test_what_only_developers_use_is_not(name, ignored):
    assert ignored(name)


def test_every_place_that_the_map_names_is_there():
    text = "".join((PACK / name).read_text(encoding="utf-8") for name in ("ARCHITECTURE.md", "CONTRIBUTING.md"))
    named = set(re.findall(r"`([\w.]+/[\w./]+)`", text))
    assert len(named) > 50 and not [name for name in named if not (PACK / name).exists()]


@pytest.mark.parametrize("name, width, height", [("icon", 400, 400), ("banner", 1260, 540)])
def test_the_pictures_of_the_registry_have_its_sizes_and_are_small(name, width, height):
    drawn, pixels = (PACK / "docs" / "pictures" / f"{name}.{kind}" for kind in ("svg", "png"))
    assert Image.open(pixels).size == (width, height)           # at most 400 x 400, and 21:9
    assert f'viewBox="0 0 {width} {height}"' in drawn.read_text(encoding="utf-8")
    assert max(drawn.stat().st_size, pixels.stat().st_size) < 30_000
