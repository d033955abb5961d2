"""How a node becomes one of several ranks: it starts them for its devices, or was itself started as one of them."""
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import comfy.model_management
import torch
import torch.distributed as dist

from .devices import read_devices
from .launches import note_launch
from .local_group import Asked, group, spawned_team, store_of
from .subgraph import SENT, TAKEN
from .team import IN_PAUSES, Team, backend_for, check_rows, shards_of


class Launched:
    """This process as one of the ranks that something else started; its trainings follow each other. job: a name that a
    restart of the same job has too; waits: seconds to wait for others; node_id: the node that it was started for."""

    def __init__(self, rank: int, size: int, store, job: str = "", waits: float = IN_PAUSES, node_id: str = ""):
        self.rank, self.size, self.store, self.job, self.waits = rank, size, store, job, waits
        self.node_id = node_id
        self.trainings, self.team = 0, None

    def next_team(self, shards: int = 0) -> Team:
        self.trainings += 1
        store = dist.PrefixStore(f"training {self.trainings}", self.store)
        self.team = Team(self.rank, self.size, store, shards, waits=self.waits)
        return self.team

    def leave(self, why: str) -> None:
        """Tells the others what ended this rank, where its training has not told them yet."""
        if self.team is None:
            self.next_team()
        self.team.leave(why)


_launched: Launched | None = None


@contextmanager
def launched(rank: int, size: int, store, job: str = "", waits: float = IN_PAUSES,
             node_id: str = "") -> Iterator[Launched]:
    """Every training inside is a rank's of the group that this process has joined."""
    global _launched
    _launched = Launched(rank, size, store, job, waits, node_id)
    try:
        yield _launched
    except BaseException as error:
        _launched.leave(f"{type(error).__name__}: {error}"[:300])
        raise
    finally:
        _launched = None


@contextmanager
def joined(rank: int, size: int, store, job: str, waits: float) -> Iterator[Launched]:
    """The group of a job that torchrun started, whose store is given."""
    device = comfy.model_management.get_torch_device()
    dist.init_process_group(backend_for(device), rank=rank, world_size=size, store=dist.PrefixStore("group", store),
                            timeout=timedelta(seconds=waits))
    with launched(rank, size, dist.PrefixStore("ranks", store), job, waits) as own:
        yield own
    dist.destroy_process_group()


def note_run(run: str, node_id: str) -> None:
    """Leaves beside the states of a run which job it is of, where torchrun may start the job again."""
    if _launched and _launched.job:
        note_launch(run, node_id, _launched.job)


@contextmanager
def team_for(asked: Asked) -> Iterator[Team | None]:
    """The team of a training, None for one device. Raises ValueError, as a sentence, for devices that cannot be."""
    shards = shards_of(asked.batch_size) if asked.exact else 0
    if _launched:
        check_rows(_launched.size, asked.batch_size)
        yield _launched.next_team(shards)
        return
    numbers = read_devices(asked.devices, asked.device)
    if len(numbers) == 1:
        yield Team(shards=shards) if asked.exact else None
        return
    check_rows(len(numbers), asked.batch_size)
    Team(size=len(numbers), shards=shards)                  # says what does not go together before anything starts
    with spawned_team(asked, numbers, shards) as team:
        yield team


@contextmanager
def team_that_draws(asked: Asked, most: int) -> Iterator[Team | None]:
    """The team of a node that draws up to `most` pictures at a time, None for one device. What only stands before the
    node that a rank was started for, and what torchrun's rank 0 does after its trainings, is for one device."""
    if _launched:
        yield _launched.next_team() if _launched.node_id == str(asked.hidden.unique_id) else None
        return
    numbers = read_devices(asked.devices, asked.device)[:most]
    if len(numbers) == 1:
        yield None
        return
    with spawned_team(asked, numbers) as team:
        yield team


def follow(job: dict, rank: int, executor, run) -> None:
    """A spawned rank, once the host is up: takes what it is sent and executes its graph. run: headless.run."""
    import nodes
    store, wanted = store_of(job["folder"], job["size"]), str(job["wanted"])
    store.set(f"up/{rank}", "1")
    with (group(rank, job["size"], store, torch.device(job["device"])),
          launched(rank, job["size"], store, node_id=wanted) as own):
        team = own.next_team()
        values = dict(team.from_first() for _ in range(job["sent"]))
        own.trainings, own.team = 0, None
        nodes.NODE_CLASS_MAPPINGS |= {SENT: _feed(values), TAKEN: _Taken}
        run(executor, {**job["graph"], TAKEN: {"class_type": TAKEN, "inputs": {"value": [wanted, 0]}}}, [TAKEN])


class _Any(str):
    """A type that goes with every other, as the host's executor compares them."""
    def __ne__(self, other):
        return False


def _feed(values: dict[str, Any]) -> type:
    """A node that gives what rank 0 sent by that name."""
    class Sent:
        RETURN_TYPES, FUNCTION, CATEGORY = (_Any("*"),), "give", "bottega"

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"name": ("STRING", {})}}

        def give(self, name):
            return (values[name],)
    return Sent


class _Taken:
    """An output for the graph of a node that is none."""
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "take", "bottega", True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (_Any("*"), {})}}

    def take(self, value):
        return {}
