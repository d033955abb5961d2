"""Pictures measured by Ray Data on the machines of a cluster: the same rows, written by whoever measures them.

Actors write the parts themselves. Ray's own writer begins where actors that hold every processor let it, which may be
when all is measured, and a kill would lose everything. So the folder of the table has to be one that all machines see.
"""
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ...shared.picture_folder import quoted
from .entries import Entry
from .measuring import Settings

BLOCK = 64      # pictures that an actor measures before it writes a part
ANSWER = 10.0   # seconds for a cluster to answer; Ray itself waits for minutes and cannot be cancelled meanwhile
ALONE = Path(__file__).resolve().parents[2] / "shared" / "pack_alone.py"


def counts(entries: Sequence[Entry], settings: Settings, address: str, workers: int, folder: Path,
           columns: Sequence[str], halt: Callable[[], object]) -> Iterator[tuple[int, int]]:
    """(pictures done, of them with an error) of each block of pictures. address: of a cluster, or `local`, which
    starts Ray on this machine. Raises ValueError with one sentence where Ray is not installed or does not answer."""
    ray = _ray(address, workers)
    try:
        items = [{"entry": list(entry)} for entry in entries]
        blocks = [{"entries": items[at:at + BLOCK]} for at in range(0, len(items), BLOCK)]
        data = ray.data.from_items(blocks, override_num_blocks=len(blocks)).map(
            _actor(str(ALONE), settings._asdict(), str(folder), list(columns)), num_cpus=0.5,
            compute=ray.data.ActorPoolStrategy(size=workers))
        for told in data.iter_rows():
            halt()
            yield told["done"], told["errors"]
    finally:
        ray.shutdown()


def _ray(address: str, workers: int):
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")       # nothing is reported to anybody
    try:
        import ray
        import ray.data
    except ImportError:
        raise ValueError("ray: Ray Data is not installed; install it into ComfyUI's Python with "
                         'pip install "ray[data]", or leave the address empty') from None
    _reached(address)
    environment = {"env_vars": {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}}
    own = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": 200 * 2 ** 20}
    try:
        ray.init(address=None if address == "local" else address, log_to_driver=False, runtime_env=environment,
                 **(own if address == "local" else {}))
    except Exception as error:      # Ray raises its own kinds, and those of the network
        raise ValueError(f"ray: expected the address of a cluster, or local; {type(error).__name__} of Ray: "
                         f"{str(error).splitlines()[0] if str(error) else ''}") from None
    return ray


def _reached(address: str) -> None:
    """Raises ValueError with one sentence where nobody listens at HOST:PORT or ray://HOST:PORT; `local`, `auto` and
    the like name no place."""
    host, colon, port = address.removeprefix("ray://").strip("/").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise ValueError(f"ray: expected the address of a cluster that answers, or local, got {quoted(address)} "
                         f"({getattr(error, 'strerror', None) or error}).") from None


def _actor(alone: str, settings: dict, folder: str, columns: list[str]) -> type:
    """A class that Ray can send as it is: the pack's modules have names that other processes cannot import."""
    class Actor:
        def __init__(self):
            import runpy
            from pathlib import Path

            import torch
            torch.set_num_threads(1)
            module = runpy.run_path(alone)["module"]
            module("shared.freed_memory").keep()
            measuring, self.entries = module("critique.gallery.measuring"), module("critique.gallery.entries")
            self.writer = module("critique.gallery.parts").PartWriter(Path(folder), columns)
            self.measurer = measuring.Measurer(measuring.Settings(**settings))

        def __call__(self, block: dict) -> dict:
            rows = [self.measurer.row(self.entries.Entry(*item["entry"])) for item in block["entries"]]
            for row in rows:
                self.writer.waiting.append(row)
            self.writer.flush()
            return {"done": len(rows), "errors": sum(bool(row["error"]) for row in rows)}

    return Actor
