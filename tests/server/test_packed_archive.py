"""What the Comfy Registry ships: comfy-cli's `node validate` and `node pack`, offline; its archive on a clean host."""
import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile

import aiohttp
import live
import pytest
from client import connect
from real_host import PACK

NEEDED = ("semver", "tomlkit", "questionary", "prompt_toolkit", "wcwidth")
"""What comfy-cli imports before it reads a command, beside what the other tests need."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The tracked files of the pack as a repository of their own: `pack` asks git and writes where it runs."""
    if not shutil.which("git") or not (PACK / ".git").exists():
        pytest.skip("`comfy node pack` asks git for the files, and this is no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PACK, check=True, capture_output=True, text=True).stdout
    root = tmp_path_factory.mktemp("checkout")
    for name in filter(None, listed.split("\0")):
        if (PACK / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PACK / name, root / name)
    for command in (["init", "-q"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def comfy(checkout, tmp_path_factory):
    """Runs a command of comfy-cli in the checkout, without a network and with a home of its own."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"comfy-cli cannot begin: {', '.join(missing)} not installed; `python dev.py test` installs them")
    home, nowhere = str(tmp_path_factory.mktemp("home")), "http://127.0.0.1:9"
    environment = os.environ | {
        "HOME": home, "XDG_CONFIG_HOME": home, "LOCALAPPDATA": home, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8",
        "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "http_proxy": nowhere, "https_proxy": nowhere}

    def run(*command):
        done = subprocess.run([sys.executable, "-m", "comfy_cli", "--skip-prompt", "--no-enable-telemetry", *command],
                              cwd=checkout, env=environment, capture_output=True, text=True, encoding="utf-8",
                              timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr
    return run


@pytest.fixture(scope="module")
def archive(checkout, tmp_path_factory):
    """Made by the function behind `comfy node pack`, which needs no more of comfy-cli than the other tests."""
    made = tmp_path_factory.mktemp("packed") / "node.zip"
    source = "import sys; from comfy_cli.file_utils import zip_files; zip_files(sys.argv[1])"
    subprocess.run([sys.executable, "-c", source, str(made)], cwd=checkout, check=True)
    return made


def test_the_registry_finds_nothing_to_say_against_the_pack(comfy):
    told = comfy("node", "validate")
    assert "All validation checks passed" in told
    assert "Warning" not in told and "Error" not in told


def test_the_command_packs_the_same_files(comfy, checkout, archive):
    comfy("node", "pack")
    with zipfile.ZipFile(checkout / "node.zip") as packed, zipfile.ZipFile(archive) as ours:
        assert packed.namelist() == ours.namelist()


def test_the_archive_holds_what_runs_and_no_more(archive):
    names = zipfile.ZipFile(archive).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"__init__.py", "pyproject.toml", "nodes", "kernels", "web", "example_workflows", "docs", "locales",
                    "LICENSE", "README.md", "CHANGELOG.md", "MEASURED.md", "SECURITY.md"}
    assert {name.rpartition(".")[2] for name in names if name.startswith("docs/")} == {"md"}
    assert archive.stat().st_size < 4_000_000


def test_the_unpacked_archive_loads_on_a_clean_host_lists_every_node_and_criticises_a_picture(
        archive, tmp_path, request, monkeypatch):
    monkeypatch.setattr(live, "link_pack", lambda base: zipfile.ZipFile(archive).extractall(
        base / "custom_nodes" / "bottega"))
    installed = live.start(tmp_path, request.addfinalizer)

    async def session():
        async with connect(installed.address) as client:
            nodes = await client.get("/object_info")
            shown = await client.run({
                "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 9}},
                "2": {"class_type": "BottegaCritique", "inputs": {"images": ["1", 0], "rubric": ""}}})
        async with aiohttp.ClientSession(installed.address) as http:
            async with http.get("/extensions/bottega/bottega.js") as script:
                return nodes, shown["2"], script.status

    nodes, critique, script = asyncio.run(session())
    helped = {page.stem for page in (PACK / "web" / "docs").glob("Bottega*.md")}
    assert {name for name in nodes if name.startswith("Bottega")} == helped and len(helped) >= 30
    assert all("custom_nodes.bottega" in nodes[name]["python_module"] for name in helped)
    assert any(critique.values()) and script == 200
