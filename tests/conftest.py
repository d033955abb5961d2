"""Runs the pack inside a real ComfyUI, in process: the real validation, executor, cache and Cancel.

`python dev.py test` sets COMFYUI_PATH to the pinned host; set it yourself to test against another.
"""
import importlib
import pkgutil
import signal
import sys
from pathlib import Path

import pytest
from real_host import Host, find_host, load_pack

PACK = Path(__file__).resolve().parents[1]
sys.path += [str(PACK / "starter"), str(PACK)]      # at the end: the host has a top-level name `nodes` too


def pytest_configure(config):
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:       # as a shell starts what runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)        # programs that tests start would inherit it
    try:
        find_host()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def pack():
    """The pack's package as the host imported it, with what the nodes import when they run:
    `pack.nodes.lora.model.blocks` and so on."""
    found = load_pack()
    for module in pkgutil.walk_packages(found.nodes.__path__, f"{found.nodes.__name__}."):
        importlib.import_module(module.name)
    return found


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    return Host(tmp_path_factory.mktemp("comfy"))


@pytest.fixture(scope="session")
def starter(host, tmp_path_factory):
    """starter/install.py, after it has installed the models: MODEL, TEXT and VAE are their names."""
    import folder_paths
    import install
    models = tmp_path_factory.mktemp("starter")
    install.install_models(models)
    for kind in ("vae", "text_encoders", "diffusion_models", "loras"):
        folder_paths.add_model_folder_path(kind, str(models / kind))
    return install


@pytest.fixture
def output_folder(host, tmp_path):
    """An output folder of the test's own, whose loras the host lists before other tests' files."""
    import folder_paths
    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    folder_paths.add_model_folder_path("loras", str(tmp_path / "loras"), is_default=True)
    yield tmp_path
    folder_paths.set_output_directory(before)
    folder_paths.folder_names_and_paths["loras"][0].remove(str(tmp_path / "loras"))
