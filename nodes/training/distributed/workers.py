"""The ranks of this machine's other devices: spawned, watched, and ended whatever happens."""
import logging
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import comfy.model_management

from ...shared import spawning

WORKER = Path(__file__).resolve().parent / "worker.py"
# Environment: seconds without a sign of life after which a rank is given up. The second is its name of before.
SILENCE = ("BOTTEGA_RANK_SILENCE", "BOTTEGA_RANK_TIMEOUT")
USUAL_SILENCE = 60.0
NAMES_ERROR = re.compile(r"(\w+\.)*\w*(Error|Exception|Interrupt|Exit)\b")
LOGGED = 40             # last lines of a rank that died


class Workers:
    """Processes by rank, from 1 on; rank 0 is this process. Each writes into a log of its own."""

    def __init__(self, processes: dict, folder: Path, names: dict[int, str]):
        self.processes, self.folder, self.names, self.grace = processes, folder, names, 0.0
        self.silence = float(next(filter(None, map(os.environ.get, SILENCE)), USUAL_SILENCE))
        self.signs: dict[int, tuple[float, float]] = {}     # by rank: the last sign of life, and when it was seen first

    def watch(self, waited: float) -> str | None:
        """What a Team asks while it waits: Cancel is raised, and a rank that is gone is a sentence."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        for rank, process in self.processes.items():
            if not process.is_alive():
                return f"rank {rank} ({self.names[rank]}) {_ended(process.exitcode)}{self._last_words(rank)}"
            silent = self._silent_for(rank)
            if waited and silent > self.silence:
                return (f"rank {rank} ({self.names[rank]}) has given no sign of life for {silent:.0f} s and was "
                        "given up")
        return None

    def log_of(self, rank):
        return self.folder / f"rank_{rank}.log"

    def _silent_for(self, rank) -> float:
        """Seconds for which this process has seen no new sign of life; a computer that slept saw none meanwhile."""
        sign, now = os.path.getmtime(self.log_of(rank)), time.monotonic()
        if self.signs.get(rank, (None, 0.0))[0] != sign:
            self.signs[rank] = sign, now
        return now - self.signs[rank][1]

    def _last_words(self, rank):
        """The last line that names an error, else the last one. The log goes with this group, so its end is kept in
        ComfyUI's."""
        lines = self.log_of(rank).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if not lines:
            return ""
        logging.error("Bottega: the last lines of rank %d (%s):\n%s", rank, self.names[rank],
                      "\n".join(lines[-LOGGED:]))
        named = [line.strip() for line in lines if NAMES_ERROR.match(line.strip())]
        return f": {(named or lines)[-1][:300]}"

    def end(self) -> None:
        """Nobody is left after this."""
        deadline = time.monotonic() + self.grace
        while self.processes:
            _, process = self.processes.popitem()
            spawning.end(process, max(0.0, deadline - time.monotonic()))    # a stopped process too
            process.close()


def _ended(code: int) -> str:
    if code is None or code >= 0:
        return f"ended with code {code}"
    names = {each.value: each.name for each in signal.Signals}      # of real-time ones the first and the last
    return f"was killed ({names.get(-code, f'signal {-code}')})"


@contextmanager
def spawned(job: dict, names: dict[int, str]) -> Iterator[Workers]:
    """Processes that run worker.py with `job`, one a rank of `names`. They are ended with the block, after `grace`
    seconds to end by themselves."""
    folder = Path(tempfile.mkdtemp(prefix="bottega_ranks_"))
    job = {**job, "folder": str(folder)}
    workers = Workers({}, folder, names)
    try:
        for rank in names:
            workers.log_of(rank).touch()
            workers.processes[rank] = spawning.start(WORKER, "bottega_rank", JOB=job, RANK=rank,
                                                     LOG=str(workers.log_of(rank)))
        yield workers
    finally:
        workers.end()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(workers: Workers, done: Callable[[], bool]) -> None:
    """Waits in a way that Cancel ends. Raises RuntimeError where a rank ends instead; one that starts may be silent."""
    while not done():
        if gone := workers.watch(0.0):
            raise RuntimeError(f"devices: {gone}.")
        time.sleep(0.05)
