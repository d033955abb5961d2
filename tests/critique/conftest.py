"""Imports every module of the room: the nodes load most of them when they run, the tests look into them before."""
import importlib
import pkgutil

import pytest


@pytest.fixture(scope="module")
def measured_small(pack):
    """Pictures are measured at 128 pixels instead of 1024, where it matters what is done and not what comes out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack.nodes.critique.critic, "CANONICAL", 128)
        yield


@pytest.fixture(scope="session", autouse=True)
def whole_room(pack):
    room = pack.nodes.critique
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
