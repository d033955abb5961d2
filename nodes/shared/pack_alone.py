"""The pack's modules in a process without the host: run this file by its path, then call `module`.

The pack's own __init__ asks for the host, whose start takes seconds and a gigabyte; rooms that only compute do not.
"""
import importlib
import sys
import types
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]
NAME = "bottega_alone"


def module(name: str) -> types.ModuleType:
    """The module `name`, such as `critique.measures`, of the folder `nodes`: its relative imports work."""
    for package, folder in ((NAME, PACK), (f"{NAME}.nodes", PACK / "nodes")):
        if package not in sys.modules:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = [str(folder)]
    return importlib.import_module(f"{NAME}.nodes.{name}")
