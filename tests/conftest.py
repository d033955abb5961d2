"""Runs the pack inside a real ComfyUI, in process: the real validation, executor, cache and Cancel.

`python dev.py test` sets COMFYUI_PATH to the pinned host; set it yourself to test against another.
"""
import pytest
from real_host import Host, find_host, load_pack


def pytest_configure(config):
    try:
        find_host()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def pack():
    """The pack's package as the host imported it: `pack.nodes.lora.blocks` and so on."""
    return load_pack()


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    return Host(tmp_path_factory.mktemp("comfy"))
