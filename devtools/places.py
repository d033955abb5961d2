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
FRONT_ENDS = WORKSHOP / "front_end"
BENCHMARKS = ROOT / "tests" / "benchmarks"
TORTURE = ROOT / "tests" / "faults" / "torture.py"
CARD_CASES = ROOT / "tests" / "card" / "cases"


def venv_python():
    return str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
