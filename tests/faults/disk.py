"""A disk that is full, or may no longer be written, while a training runs."""
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from damaged_files import _message
from files_on_disk import leftovers, problems
from outcome import Outcome, not_a_sentence
from workbench import STEPS, Workbench

NOBODY = 65534      # root may write everywhere, whatever the permissions say


def disk_faults(bench: Workbench, folder: Path, steps: Sequence[int] = (0, 2, 4, STEPS - 1)) -> Iterator[Outcome]:
    """Each fault, put in before step N: the run goes on, or ends with a sentence; what was whole stays whole."""
    for fault in (files_too_large, folders_not_writable, volume_full):
        for step in steps:
            with volume(fault, folder / f"{fault.__name__}_{step}") as here:
                if here is None:
                    continue
                said = bench.train(here, "ink", before=partial(at_step, bench, step, partial(fault, here)))
                wrong = not_a_sentence(OSError(_message(said))) if said else ""
                left = problems(here) + leftovers(here)
                yield Outcome(f"{fault.__name__.replace('_', ' ')} from step {step} on",
                              "; ".join(filter(None, [wrong and f"{wrong} {said[:300]}", *left])))


def at_step(bench: Workbench, step: int, fault) -> None:
    """Calls fault() in this process when the training has done that many steps."""
    progress = bench.pack.nodes.training.monitoring.progress.Progress
    update = progress.update

    def updated(self, session):
        if session.step == step:
            fault()
        return update(self, session)

    progress.update = updated
    if not step:
        fault()


def files_too_large(folder: Path) -> None:
    """No file may grow beyond 4 KB, which the system answers as it answers a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def folders_not_writable(folder: Path) -> None:
    for path in [folder, *(entry for entry in folder.rglob("*") if entry.is_dir())]:
        os.chmod(path, 0o555)
    if os.geteuid() == 0:
        os.setuid(NOBODY)


def volume_full(folder: Path) -> None:
    handle = os.open(folder / "filling", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(handle, b"\0" * 4096)
    os.close(handle)


@contextmanager
def volume(fault, folder: Path) -> Iterator[Path | None]:
    """The folder, for a full volume one of 8 MB in memory; None where none may be made."""
    folder.mkdir(parents=True, exist_ok=True)
    small = fault is volume_full
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if small and subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        if small:
            (folder / "filling").unlink(missing_ok=True)
            time.sleep(0.1)
            subprocess.run(["umount", "-l", folder], capture_output=True)
