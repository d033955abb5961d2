import sys
from pathlib import Path

import pytest

STARTER = Path(__file__).resolve().parents[2] / "starter"
sys.path.append(str(STARTER))


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Folder with `models` and `input` as install.py leaves them."""
    from install import PICTURES, install_models, install_pictures
    base = tmp_path_factory.mktemp("starter")
    install_models(base / "models")
    install_pictures(base / "input" / PICTURES)
    return base
