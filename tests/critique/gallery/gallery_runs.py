"""The command of the gallery in a process of its own, and what the pictures of its tests are."""
import subprocess
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parents[3]
COMMAND = PACK / "nodes" / "critique" / "gallery"
QUICK = "colour and value"
COUNT, BROKEN = 24, {"a/03.png", "a/05.png", "b/07.png", "b/09.png"}


def command(*arguments, **more):
    return subprocess.Popen([sys.executable, str(COMMAND), *map(str, arguments)], stderr=subprocess.PIPE, text=True,
                            **more)
