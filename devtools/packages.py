"""The virtual environment, and the packages in it at their pinned versions."""
import configparser
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import places
from .machine import check_disk
from .terminal import SetupError, last_line, show_step

UNFINISHED = "unfinished"


def read_pins():
    pins = configparser.ConfigParser(delimiters=(": ",), allow_no_value=True)
    pins.optionxform = str
    pins.read(places.PINS, encoding="utf-8")
    return pins


def pinned_packages(pins):
    """Requirement lines that pip resolves together, in the order of the file."""
    sections = ("host packages", "test packages", "peer packages", "transitive packages")
    return [line for section in sections for line in pins[section]]


def make_venv():
    """Makes .venv once. What an interrupted setup left behind is thrown away; one that is not ours is not touched."""
    stamp = places.STAMP.read_text(encoding="utf-8") if places.STAMP.exists() else None
    if stamp not in (None, UNFINISHED) and Path(places.venv_python()).exists():
        tell_other_python()
        return
    if stamp is None and places.VENV.exists():
        raise SetupError(f"{places.VENV} exists but was not made by dev.py: move it away or delete it.")
    places.STAMP.write_text(UNFINISHED, encoding="utf-8")
    shutil.rmtree(places.VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(places.VENV)], capture_output=True, text=True)
    if made.returncode:
        raise SetupError("This Python cannot make a virtual environment (on Debian and Ubuntu install python3-venv): "
                         + last_line(made.stdout + made.stderr))


def tell_other_python():
    """The .venv keeps the Python it was made with, whichever one runs dev.py."""
    made = re.search(r"^version = (\d+\.\d+)", (places.VENV / "pyvenv.cfg").read_text(encoding="utf-8"), re.MULTILINE)
    running = "{}.{}".format(*sys.version_info)
    if made and made.group(1) != running:
        print(f"{places.VENV} is of Python {made.group(1)} and is used as it is; delete it to have one of Python "
              f"{running}.")


def install_packages(host):
    """Installs the pins and what `host` asks for; does nothing when that was finished before."""
    pins, requirements = read_pins(), host / "requirements.txt"
    wanted = hashlib.sha256(places.PINS.read_bytes() + requirements.read_bytes()).hexdigest()
    if places.STAMP.read_text(encoding="utf-8") == wanted:
        return
    check_disk()
    print("Installing the packages (about 6 GB, some minutes) ...")
    places.STAMP.write_text(UNFINISHED, encoding="utf-8")
    listed = places.WORKSHOP / "requirements.txt"
    listed.write_text("\n".join(pinned_packages(pins)) + "\n", encoding="utf-8")
    pip("install", "-r", listed)
    pip("install", "--no-deps", *pins["lone packages"])
    if host != places.HOST:
        install_other_host(requirements, listed)
    places.STAMP.write_text(wanted, encoding="utf-8")


def install_other_host(requirements, pinned):
    """Another host gets what it asks for: at our versions when they fit, else at its own."""
    try:
        pip("install", "-r", requirements, "-c", pinned)
    except SetupError:
        pip("install", "-r", requirements)


def newest_front_end():
    """The folder of the newest front end's page, which `install_newest_front_end` fills."""
    (requirement,) = read_pins()["newest front end"]
    return places.FRONT_ENDS / requirement.partition("==")[2] / "comfyui_frontend_package" / "static"


def install_newest_front_end():
    """Puts the newest front end beside the host's own, once."""
    page = newest_front_end()
    if page.exists():
        return
    (requirement,) = read_pins()["newest front end"]
    half = places.FRONT_ENDS / UNFINISHED
    shutil.rmtree(half, ignore_errors=True)
    pip("install", "--no-deps", "--target", half, requirement)
    half.rename(page.parents[1])


def pip(*arguments):
    """Runs pip in the .venv, shows what it is busy with, keeps its words in a log."""
    command = [places.venv_python(), "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    log = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          encoding="utf-8", errors="replace") as process:
        try:
            for line in process.stdout:
                log.append(line)
                if line.startswith(("Collecting", "Installing collected")):
                    show_step(line[:70])
        except BaseException:  # leaving the block waits for the process, so end it first
            process.kill()
            raise
    show_step("")
    (places.WORKSHOP / "pip.log").write_text("".join(log), encoding="utf-8")
    if process.returncode:
        errors = [line for line in log if line.startswith("ERROR")] or log
        raise SetupError(f"pip could not install (network? the whole log is in {places.WORKSHOP / 'pip.log'}): "
                         + last_line("".join(errors)))


def in_venv(host, *arguments, **variables):
    """The exit status of the .venv's Python with these arguments; variables are set where the environment has none."""
    environment = {**variables, **os.environ, "COMFYUI_PATH": str(host)}
    return subprocess.run([places.venv_python(), *arguments], cwd=places.ROOT, env=environment).returncode
