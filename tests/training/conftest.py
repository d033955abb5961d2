"""The trainer is imported when a node trains; its tests want it from the start."""
import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "nodes" / "training"


@pytest.fixture(scope="session", autouse=True)
def whole_trainer(pack):
    for path in FOLDER.glob("*.py"):
        importlib.import_module(f"{pack.__name__}.nodes.training.{path.stem}")
    importlib.import_module(f"{pack.__name__}.nodes.training.adapters")
