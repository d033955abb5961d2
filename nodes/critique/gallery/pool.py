"""Pictures measured by several processes of this machine, one thread each.

A process works on one picture at a time, so that one that dies (a decoder that crashes, memory that is full) or that
never comes back costs that picture alone, which is told in its row.
"""
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ...shared import spawning
from .entries import Entry
from .measuring import Settings

WORKER = Path(__file__).with_name("worker.py")
READY = b"ready"
LOOK = 0.2          # seconds between two looks at Cancel
LONGEST = 600.0     # seconds for one picture
START = 300.0       # seconds for a process to begin
MOST = 31 if os.name == "nt" else 256   # processes: Windows waits for 63 things at once, and each has two ends


def rows(entries: Sequence[Entry], settings: Settings, workers: int, halt: Callable[[], object],
         script: Path = WORKER) -> Iterator[dict]:
    """The row of each picture, in the order in which they are done. halt: called often, may raise, which ends the
    processes. Raises RuntimeError with one sentence where a process cannot begin."""
    todo, team = deque(entries), []
    try:
        for _ in range(min(workers, len(todo), MOST)):
            halt()
            team.append(_Worker(script, settings))
        while team:
            halt()
            ready = spawning.wait([end for each in team for end in each.ends], LOOK)
            for each in [each for each in team if each.is_due(ready)]:
                row, lives = each.answer()
                if row:
                    yield row
                if not lives:
                    team.remove(each)
                    team += [_Worker(script, settings)] if todo else []
                elif not each.is_ready:
                    each.send_settings()
                elif todo:
                    each.give(todo.popleft())
                else:
                    team.remove(each)
                    each.end()
    finally:
        for each in team:
            each.kill()


class _Worker:
    """A process and the picture that it works on."""

    def __init__(self, script: Path, settings: Settings):
        self.connection, theirs = spawning.pipe()
        self.process = spawning.start(script, "bottega_gallery_worker", CONNECTION=theirs)
        theirs.close()
        self.entry, self.began, self.is_ready, self.settings = None, time.monotonic(), False, settings

    @property
    def ends(self) -> list:
        return [self.connection, self.process.sentinel]

    def is_due(self, ready: list) -> bool:
        """Whether it has said something, has died or has been silent for too long."""
        limit = LONGEST if self.is_ready else START
        return any(end in ready for end in self.ends) or time.monotonic() - self.began > limit

    def answer(self) -> tuple[dict | None, bool]:
        """(the row of its picture, if it had one; whether the process goes on). It says two things before its first
        row: that it listens, and that it is ready."""
        try:
            said = self.connection.recv_bytes() if self.connection.poll() else None
        except (EOFError, OSError):
            said = None
        if said is None:
            return self._lost(), False
        if self.is_ready:
            return json.loads(said), True
        self.is_ready = said == READY
        return None, True

    def _lost(self) -> dict:
        self.process.join(2)                    # one that dies has closed its end a moment before it is gone
        silent = self.process.is_alive()
        self.kill()
        if not self.is_ready:
            raise RuntimeError("workers: a process that measures pictures ended before it began "
                               f"(exit code {self.process.exitcode}); the log has its last words")
        why = f"it took longer than {LONGEST:.0f} s" if silent else (
            f"the process that measured it died (exit code {self.process.exitcode})")
        entry = self.entry
        return {"path": entry.path, "size": entry.size, "mtime_ns": entry.mtime_ns, "error": why}

    def send_settings(self) -> None:
        """A connection holds some kB on some systems, and settings with a reference are more: sent to a process that
        does not listen yet, they would hold up this one."""
        self._send(json.dumps(self.settings._asdict()).encode())

    def give(self, entry: Entry) -> None:
        self.entry, self.began = entry, time.monotonic()
        self._send(json.dumps(entry).encode())

    def _send(self, message: bytes) -> None:
        try:
            self.connection.send_bytes(message)
        except OSError:     # it has died, which the next answer says
            pass

    def end(self) -> None:
        self._send(b"")
        spawning.end(self.process)
        self.connection.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()
