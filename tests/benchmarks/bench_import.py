"""What the pack adds to the host's start: the processor time of its import.

Each time is of a process of its own in which the host is imported already, with the byte code that a second start finds
on disk.
"""
import os
import statistics
import subprocess
import sys
import tempfile

import timing

ASKED = 0.1
SCRIPT = """
began = time.process_time()
spec.loader.exec_module(pack)
print(time.process_time() - began, sum(name.startswith("bottega") for name in sys.modules))
"""


def main():
    options = timing.parser(__doc__, 7).parse_args()
    timing.start_host()
    with tempfile.TemporaryDirectory() as folder:
        first, *later = [measured(folder) for _ in range(options.rounds + 1)]
    rows = [("the first start, which compiles", f"{first[0]:.3f}"),
            ("every later one", f"{statistics.median(seconds for seconds, _ in later):.3f}")]
    timing.publish("import", "The import of the pack",
                   f"Seconds of processor time beyond the host's own start, {later[0][1]} modules; median of "
                   f"{options.rounds} processes. Asked: at most {ASKED}.", timing.table(("start", "seconds"), rows))


def measured(folder):
    """(seconds, modules) in a new process, whose byte code lies in a folder."""
    from real_host import host_alone
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([sys.executable, "-c", host_alone(SCRIPT)], capture_output=True, text=True, check=True,
                          env=environment)
    seconds, modules = done.stdout.split()[-2:]
    return float(seconds), int(modules)


if __name__ == "__main__":
    main()
