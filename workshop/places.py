"""Where everything lies. What is made lies in `.venv` and `.workshop`."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / ".ci" / "pins.ini"
VENV = ROOT / ".venv"
WORKSHOP = ROOT / ".workshop"
STAMP = WORKSHOP / "packages.txt"
HOST = WORKSHOP / "host" / "ComfyUI"
BASE = WORKSHOP / "base"
BENCHMARKS = ROOT / "tests" / "benchmarks"


def venv_python():
    return str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
