"""SIGKILL at every file operation of a training, and at any moment: nothing is lost but an interval, and it goes on."""
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from files_on_disk import leftovers, problems, same
from outcome import Outcome
from workbench import Workbench

OPERATIONS = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.scandir", "os.truncate"}


class Kills:
    """A training that was never cut, to compare with, and what a killed one left."""

    def __init__(self, bench: Workbench, folder: Path):
        self.bench, self.folder = bench, folder
        self.whole = folder / "whole"
        said = bench.train(self.whole, "ink")
        if said:
            raise RuntimeError(f"The training without a fault failed: {said}")
        self.operations = self._count()

    def every_operation(self, start: int = 0, stride: int = 1) -> Iterator[Outcome]:
        for number in range(start, self.operations, stride):
            yield self._killed(f"kill before file operation {number} of {self.operations}",
                               lambda at=number: kill_at_operation(at))

    def any_moment(self, rng: random.Random) -> Iterator[Outcome]:
        while True:
            delay = rng.uniform(0.0, 1.3) * self.seconds
            yield self._killed(f"kill after {delay:.3f} s", lambda after=delay: kill_after(after))

    def _count(self) -> int:
        """File operations of a training below its output folder."""
        folder, note = self.folder / "counted", self.folder / "count"

        def count():
            seen = []
            sys.addaudithook(lambda event, args: seen.append(event) if _counts(event, args, folder) else None)
            self.bench.host.run(self.bench.prompt("ink"))
            note.write_text(str(len(seen)))

        began = time.monotonic()
        said = self.bench.fork(folder, count).wait()
        self.seconds = time.monotonic() - began
        if said:
            raise RuntimeError(said)
        return int(note.read_text())

    def _killed(self, fault: str, arm) -> Outcome:
        folder = self.folder / f"{time.monotonic_ns()}"
        (folder / "loras").mkdir(parents=True)
        mine = folder / "loras" / "ink_00001.safetensors"   # a person's own, in the way of a second run's name
        os.link(self.whole / "loras" / "ink.safetensors", mine)
        self.bench.fork(folder, lambda: (arm_in(folder, arm), self.bench.host.run(self.bench.prompt("ink")))).wait()
        wrong = problems(folder) or self._goes_on(folder)
        return Outcome(fault, "; ".join(wrong))

    def _goes_on(self, folder: Path) -> list[str]:
        finished = (folder / "loras" / "ink.safetensors").exists()
        states = list((folder / "training" / "ink").glob("step_*.safetensors"))
        said = self.bench.train(folder, "again", resume="ink" if states else "")
        if said:
            return [f"it does not go on: {said[:300]}"]
        lora = folder / "loras" / "again.safetensors"
        wrong = [] if same(lora, self.whole / "loras" / "ink.safetensors") else ["it went on to another LoRA"]
        if finished and not same(folder / "loras" / "ink.safetensors", lora):
            wrong.append("the LoRA it had named is another")
        return wrong + problems(folder) + (["too many leftovers"] if len(leftovers(folder)) > 1 else [])


_watched: list[Path] = []


def arm_in(folder: Path, arm) -> None:
    _watched[:] = [folder]
    arm()


def kill_at_operation(number: int) -> None:
    """This process ends itself just before that file operation below the watched folder."""
    left = [number]

    def watch(event, args):
        if _counts(event, args, _watched[0]):
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    sys.addaudithook(watch)


def kill_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()


def _counts(event: str, args: tuple, folder: Path) -> bool:
    return event in OPERATIONS and bool(args) and isinstance(args[0], (str, os.PathLike)) and (
        os.fspath(args[0]).startswith(str(folder)))
