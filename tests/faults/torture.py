"""What `python dev.py torture` runs: faults of every kind for as long as asked, and a table of what held.

    torture.py [--minutes N] [--seed N] [--rows kills,cancels,...]
"""
import argparse
import asyncio
import itertools
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(TESTS), str(TESTS.parent)]

from outcome import Outcome  # noqa: E402

FAULTS_SHOWN = 12
STORM = 50     # prompts
# Of each row: its share of the time, and how many the project asks for.
ROWS = {"texts": (0.06, 10_000), "files": (0.12, 5_000), "disk": (0.06, 12), "memory": (0.12, 60),
        "kills": (0.26, 200), "cancels": (0.24, 500), "prompts": (0.14, 1_000)}


def main(arguments: list[str]) -> int:
    options = read_arguments(arguments)
    logging.disable(logging.CRITICAL)
    folder, failed = Path(tempfile.mkdtemp(prefix="bottega_torture_")), False
    try:
        notes, table = {}, []
        run = rows(folder, options.seed, lambda note: notes.update(prompts=note))
        for name in options.rows.split(","):
            share, asked = ROWS[name]
            whole = sum(ROWS[each][0] for each in options.rows.split(","))
            tally = Tally(name, asked)
            for outcomes in until(run[name](), time.monotonic() + 60 * options.minutes * share / whole, tally):
                tally.add(*outcomes if isinstance(outcomes, list) else [outcomes])
            tally.note = notes.get(name, "")
            print(tally, flush=True)
            table.append(tally)
            failed |= bool(tally.wrong)
        print("", "| what | held | asked | minutes |", "|---|---|---|---|", *(tally.row for tally in table), sep="\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(failed)


def read_arguments(arguments):
    parser = argparse.ArgumentParser(prog="dev.py torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", default=",".join(ROWS), help="those of " + ", ".join(ROWS))
    return parser.parse_args(arguments)


class Tally:
    """What came of the faults of one row."""

    def __init__(self, name: str, asked: int):
        self.name, self.asked, self.count, self.wrong = name, asked, 0, []
        self.began, self.note = time.monotonic(), ""

    def add(self, *outcomes: Outcome) -> None:
        self.count += len(outcomes)
        self.wrong += [outcome for outcome in outcomes if not outcome.ok]

    @property
    def row(self) -> str:
        minutes = (time.monotonic() - self.began) / 60
        self.minutes = getattr(self, "minutes", minutes)
        note = f"; {self.note}" if self.note else ""
        held = f"{self.count - len(self.wrong)} of {self.count}{note}"
        return f"| {self.name} | {held} | {self.asked} | {self.minutes:.0f} |"

    def __str__(self):
        kinds = Counter((outcome.fault.split(":")[0][:40], outcome.wrong[:70]) for outcome in self.wrong)
        shown = [f"    {count} x {fault}: {wrong}" for (fault, wrong), count in kinds.most_common(FAULTS_SHOWN)]
        first = [f"    first: {outcome.fault}: {outcome.wrong}" for outcome in self.wrong[:3]]
        return "\n".join([self.row, *shown, *first])


def until(outcomes, end: float, tally: Tally):
    for outcome in outcomes:
        yield outcome
        if time.monotonic() > end or tally.count >= tally.asked:
            return


def rows(folder: Path, seed: int, say) -> dict:
    """By name: a function that gives outcomes without an end, or to the end of what there is."""
    from cancels import cancels
    from damaged_files import damaged_files
    from disk import disk_faults
    from kills import Kills
    from memory import memory_faults
    from texts import texts
    bench, rng = workbench(folder), random.Random(seed)

    def kills():
        found = Kills(bench, folder / "kills")
        return itertools.chain(found.every_operation(), found.any_moment(rng))

    return {"texts": lambda: texts(bench, rng), "files": lambda: damaged_files(bench, folder / "files", rng),
            "disk": lambda: disk_faults(bench, folder / "disk"), "kills": kills,
            "memory": lambda: memory_faults(bench, folder / "memory"),
            "cancels": lambda: cancels(bench, folder / "cancels", rng),
            "prompts": lambda: prompts(folder / "server", rng, say)}


def workbench(folder: Path):
    import real_host
    real_host.find_host()
    host = real_host.Host(folder)
    from workbench import Workbench
    return Workbench(host, real_host.load_pack(), folder)


def prompts(base: Path, rng, say):
    """One storm after the other; what the server holds more after each is said."""
    from storm import held, storm
    process, address = server(base)
    try:
        found = []
        while True:
            yield asyncio.run(storm(address, STORM, rng))
            found.append(asyncio.run(held(address, process.pid)))
            if len(found) > 1:       # the first storm loads what stays
                many = 100 / STORM / (len(found) - 1)
                more = [(last - first) * many for last, first in zip(found[-1], found[0], strict=True)]
                say(f"{more[0]:+.1f} MB and {more[1]:+.1f} tensors per 100 prompts after the first {STORM}")
    finally:
        from devtools.server import stop_server
        stop_server(process)


def server(base: Path):
    """A real server of its own with the starter in it: (process, address)."""
    import os

    import live
    from storm import install_pictures, install_probe

    from devtools.server import free_port, server_command, start_server
    from devtools.setting_up import link_pack
    live.install_starter(base)
    install_pictures(base)
    install_probe(base)
    link_pack(base)
    (base / "output").mkdir()
    port = free_port()
    command = server_command(sys.executable, Path(os.environ["COMFYUI_PATH"]), base, port, "--cpu")
    command.insert(command.index("bottega") + 1, "faults_probe")
    return start_server(command, base / "server.log"), f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
