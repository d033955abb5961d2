"""What the machine must have, and what it has."""
import os
import shutil
import subprocess
import sys

from . import places
from .terminal import SetupError

PYTHONS = (3, 10), (3, 13)
DISK_GB = 9  # 6 stay; the wheels need the rest while pip installs them


def check_python(version=sys.version_info):
    oldest, newest = PYTHONS
    if not oldest <= tuple(version[:2]) <= newest:
        raise SetupError("Python: expected {}.{} to {}.{}, got {}.{}; run dev.py with another one, for example "
                         "`python3.11 dev.py`.".format(*oldest, *newest, *version[:2]))


def check_disk(folder=places.ROOT, needed_gb=DISK_GB):
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < needed_gb:
        raise SetupError(f"Disk: the setup needs about {needed_gb} GB beside {folder}, got {free_gb:.1f} GB free.")


def has_nvidia_gpu():
    """True when the driver answers and the installed torch can use it."""
    if not shutil.which("nvidia-smi") or subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode:
        return False
    probe = [places.venv_python(), "-c", "import sys, torch; sys.exit(not torch.cuda.is_available())"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def install_chromium():
    """Gives a bare Debian or Ubuntu (a CI machine) the browser; elsewhere the browser tests say what is missing."""
    if shutil.which("chromium") or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    print("Installing chromium for the browser tests ...")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update"], **quiet)
    subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"], **quiet)
