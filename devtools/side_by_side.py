"""The whole suite, one folder of tests after another in as many processes as there are cores.

Each process has one thread for its sums, because threads of several processes wait for each other; a process that dies
takes its own folder with it and nothing else.
"""
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import places

MOST = 4                # each holds a host, and some a server and a browser: up to 5 GB
LONGEST_FIRST = ("training", "studio", "lora", "critique", "browser", "server", "card", "kernels", "faults", "host")
NO_TEST = 5             # pytest's exit status where an option such as -k left nothing to run


def run_all(host: Path, arguments: list[str]) -> int:
    """The highest exit status of all folders; what each printed appears when it has ended."""
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "COMFYUI_PATH": str(host)}
    workers = min(os.cpu_count() or 1, MOST)
    with ThreadPoolExecutor(workers) as lanes:
        return max(lanes.map(lambda folder: _run(folder, arguments, environment), folders()))


def folders() -> list[str]:
    """Every folder of tests, those that take longest first."""
    found = {path.parent.relative_to(places.ROOT / "tests").parts[0]
             for path in (places.ROOT / "tests").rglob("test_*.py")}
    return [name for name in LONGEST_FIRST if name in found] + sorted(found - set(LONGEST_FIRST))


def _run(folder: str, arguments: list[str], environment: dict[str, str]) -> int:
    began = time.monotonic()
    done = subprocess.run([places.venv_python(), "-m", "pytest", str(Path("tests", folder)), *arguments],
                          cwd=places.ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    sys.stdout.write(f"\n== tests/{folder}, {time.monotonic() - began:.0f} s\n")
    sys.stdout.write(done.stdout.decode(errors="replace"))
    if done.returncode < 0:     # pytest has said nothing then
        sys.stdout.write(f"\n== tests/{folder} was killed by signal {-done.returncode}\n")
    sys.stdout.flush()
    return 0 if done.returncode == NO_TEST else abs(done.returncode)
