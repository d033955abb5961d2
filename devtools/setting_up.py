"""The whole setup, and what makes this checkout and the starter a part of the host."""
import os
import subprocess
from pathlib import Path

from . import places
from .host import check_host, fetch_host
from .packages import install_packages, make_venv
from .terminal import SetupError, last_line


def setup():
    """Makes everything ready and returns the folder of the host; the second time it only looks."""
    places.WORKSHOP.mkdir(exist_ok=True)
    other = os.environ.get("COMFYUI_PATH")
    host = check_host(Path(other).resolve()) if other else places.HOST
    make_venv()
    if not other:
        fetch_host()
    install_packages(host)
    link_pack(places.BASE)
    return host


def link_pack(base):
    """Makes this checkout appear as custom node `bottega` in a base directory of the host, whose tree stays clean."""
    link = base / "custom_nodes" / "bottega"
    link.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(link):
        if os.path.realpath(link) == str(places.ROOT):
            return
        link.unlink() if link.is_symlink() else link.rmdir()
    if os.name == "nt":  # a junction needs no administrator's right, a symbolic link does
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(places.ROOT)], check=True, capture_output=True)
    else:
        link.symlink_to(places.ROOT, target_is_directory=True)


def install_starter(base):
    """Puts the starter's model and its training pictures where the host looks for them."""
    script = places.ROOT / "starter" / "install.py"
    command = [places.venv_python(), str(script), str(base / "models"), str(base / "input")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SetupError("The starter could not be installed: " + last_line(done.stderr))
