"""A host that is too old is named as such, before anything of it is imported."""
import subprocess
import sys
from pathlib import Path

import comfyui_version
import pytest

PACK = Path(__file__).resolve().parents[2]
IMPORT = """
import importlib.util, sys
sys.path.insert(0, sys.argv[1])
spec = importlib.util.spec_from_file_location("bottega", sys.argv[2] + "/__init__.py")
sys.modules["bottega"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["bottega"])
"""


@pytest.fixture
def oldest(pack):
    return pack.nodes.shared.host_version


@pytest.mark.parametrize("version", ["0.29.9", "0.3.75", "0.27.0", "a version without a number"])
def test_an_old_host_is_refused_with_its_version(oldest, version):
    with pytest.raises(ImportError, match=f"expected ComfyUI 0.30.0 or newer, got {version}"):
        oldest.check_host(version)


@pytest.mark.parametrize("version", ["0.30.0", "0.30.1", "0.100.0", "1.0.0", "0.31.0-dev"])
def test_a_new_host_is_accepted(oldest, version):
    oldest.check_host(version)


def test_the_version_asked_is_that_of_the_running_host(oldest):
    assert oldest.version_of_host() == comfyui_version.__version__


@pytest.mark.parametrize("version, named", [('__version__ = "0.27.0"\n', "got 0.27.0."), (None, "without a number.")])
def test_a_folder_with_nothing_of_a_host_but_its_version_gives_one_sentence(tmp_path, version, named):
    if version:
        (tmp_path / "comfyui_version.py").write_text(version, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", IMPORT, str(tmp_path), str(PACK)], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: Bottega: this host is too old") and last.endswith(named)
