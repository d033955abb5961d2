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


def told_to_use(page):
    """Files of the repository that a page links to, and scripts that it has run, as paths from the pack's folder."""
    text = page.read_text(encoding="utf-8")
    links = {(page.parent / link).resolve() for link in re.findall(r"\]\(([^)\s#]+)", text) if "://" not in link}
    scripts = re.findall(r"\bpython[\w.]* (?:\S*bottega[/\\])?([\w/\\]+\.py)\b", text)
    return {path.relative_to(PACK).as_posix() for path in links} | {path.replace("\\", "/") for path in scripts}


def test_what_the_pages_use_is_in_it_or_said_to_be_in_the_repository_alone(ignored):
    readme = PACK / "README.md"
    said, = re.findall(r"no more: (.+?) are in the repository\s+alone", readme.read_text(encoding="utf-8"), re.DOTALL)
    alone = tuple(re.findall("`([^`]+)`", said))
    pages = [readme, *(PACK / f"{name}.md" for name in ("SECURITY", "MEASURED")), *PACK.glob("docs/*.md"),
             *PACK.glob("web/docs/*.md")]
    missing = {path for page in pages for path in told_to_use(page)
               if ignored(path) or (PACK / path).is_dir() and ignored(f"{path}/x")}
    assert {"starter/install.py", "dev.py"} <= missing and len(missing) > 8
    assert [path for path in missing if not f"{path}/".startswith(alone)] == []
    assert [name for name in alone if not ignored(f"{name}x" if name.endswith("/") else name)] == []


def test_every_place_that_the_map_names_is_there():
    text = "".join((PACK / name).read_text(encoding="utf-8") for name in ("ARCHITECTURE.md", "CONTRIBUTING.md"))
    named = set(re.findall(r"`([\w.]+/[\w./]+)`", text))
    assert len(named) > 50 and not [name for name in named if not (PACK / name).exists()]


def test_every_folder_of_a_room_has_a_row_in_the_map():
    rows = re.findall(r"^\| `([\w/]+)` \|", (PACK / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE)
    rooms = [PACK / "nodes" / room for room in ("lora", "training", "critique", "studio")]
    folders = {path.parent.relative_to(PACK).as_posix() for room in rooms for path in room.glob("*/__init__.py")}
    assert len(folders) > 30 and folders - {f"nodes/{room.name}/nodes" for room in rooms} - set(rows) == set()


@pytest.mark.parametrize("name, width, height", [("icon", 400, 400), ("banner", 1260, 540)])
def test_the_pictures_of_the_registry_have_its_sizes_and_are_small(name, width, height):
    drawn, pixels = (PACK / "docs" / "pictures" / f"{name}.{kind}" for kind in ("svg", "png"))
    assert Image.open(pixels).size == (width, height)           # at most 400 x 400, and 21:9
    assert f'viewBox="0 0 {width} {height}"' in drawn.read_text(encoding="utf-8")
    assert max(drawn.stat().st_size, pixels.stat().st_size) < 30_000
