"""Other processes of this pack: a new Python that runs one file of it, and nothing of the host's.

The only file that starts processes. They are children of multiprocessing, so no shell and no other program is run.
"""
import multiprocessing
import multiprocessing.connection
import os
import runpy
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")   # a forked copy of the host would share its locks, threads and CUDA
_one_at_a_time = threading.Lock()

Process = multiprocessing.process.BaseProcess
Connection = multiprocessing.connection.Connection
pipe = SPAWN.Pipe                               # (end, other end), of which one can be given to a process
wait = multiprocessing.connection.wait          # those of connections and sentinels that are ready


def start(script: Path, run_name: str, **given: object) -> Process:
    """A process that runs the file `script` as the module `run_name`, with `given` among its globals.

    By its path, because the host gives the pack's modules names that no other process can import. Ended with this
    process where that ends by itself; see `end_with_parent` for where it is killed."""
    process = SPAWN.Process(target=runpy.run_path, args=(str(script),), daemon=True,
                            kwargs={"init_globals": given, "run_name": run_name})
    with no_main():
        process.start()
    return process


@contextmanager
def no_main() -> Iterator[None]:
    """multiprocessing runs the main module again in every child: here that is the whole host, with the scripts that
    other packs run before its start. For the moment of the start there is a main module without a file."""
    with _one_at_a_time:
        own, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = own


def end_with_parent() -> None:
    """In a child: ends it at once when its parent is gone, killed or not."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)    # without the exit handlers of others


def end(process: Process, seconds: float = 10.0) -> None:
    """Waits for a process that should end by itself, and kills it where it does not."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
