"""Imports every module of the room: the nodes load most of them when they run, the tests look into them before."""
import importlib
import pkgutil

import pytest


@pytest.fixture(scope="session", autouse=True)
def whole_room(pack):
    room = pack.nodes.critique
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
