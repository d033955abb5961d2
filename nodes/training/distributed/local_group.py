"""This machine's devices as one group: the ranks that a node starts beside ComfyUI's own process, which is rank 0."""
import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from comfy.model_management import InterruptProcessingException

from ...shared.host_capabilities import require
from .headless import settings_of_host
from .subgraph import links_of, listed, packs_of, rank_graph
from .team import IN_PAUSES, RankFailed, Team, backend_for, beside
from .workers import Workers, spawned, wait_until

PACK = __name__.removesuffix(".nodes.training.distributed.local_group")
GRACE = 20.0                    # seconds for the others to end by themselves when all is done
LOOPBACK = {"linux": "lo", "darwin": "lo0"}


class Asked(NamedTuple):
    """What a node was given. hidden: of the node, with unique_id and dynprompt; values: its inputs by name; say: shows
    a line on the node; replayed: inputs that each rank makes for itself, beside those in subgraph.INPUTS."""
    devices: str
    exact: bool
    batch_size: int
    device: torch.device
    hidden: Any
    values: dict[str, Any]
    say: Any = print
    replayed: tuple[str, ...] = ()


def check_group_can_be() -> None:
    """Raises, as a sentence, where no torch.distributed group can be made in this process."""
    if not dist.is_available():
        raise ValueError("devices: this build of torch comes without torch.distributed, which several devices need. "
                         "Set devices to 1.")
    if dist.is_initialized():
        raise RuntimeError("devices: another custom node has begun a torch.distributed group in this ComfyUI, and "
                           "there can be one only.")


def names_of(numbers: list[int], device: torch.device) -> dict[int, str]:
    """What the ranks beside 0 are called, by rank; numbers: of devices.read_devices."""
    return {rank: f"CPU process {rank}" if device.type == "cpu" else f"{device.type}:{number}"
            for rank, number in enumerate(numbers) if rank}


@contextmanager
def spawned_team(asked: Asked, numbers: list[int], shards: int = 0) -> Iterator[Team]:
    """Rank 0's team of these devices; the other ranks execute the node that asks up to where it joins them. They are
    ended with the block. Raises ValueError, as a sentence, where what they need cannot be replayed or sent."""
    require("ranks")
    check_group_can_be()
    size, on_cpu = len(numbers), asked.device.type == "cpu"
    graph, sent = rank_graph(asked.hidden.dynprompt.get_node, asked.hidden.unique_id, asked.replayed)
    _check_first_time(asked.hidden, sent)
    packs, extras = packs_of(graph)
    threads = max(1, torch.get_num_threads() // size) if on_cpu else torch.get_num_threads()
    job = {"settings": settings_of_host(), "packs": packs, "extras": extras, "pack": PACK, "threads": threads,
           "visible": [None if on_cpu else _visible(number) for number in numbers], "size": size, "graph": graph,
           "wanted": asked.hidden.unique_id, "device": asked.device.type, "sent": len(sent)}
    names = names_of(numbers, asked.device)
    asked.say(f"starting {size - 1} more of {size} devices")
    with spawned(job, names) as workers:
        store = store_of(workers.folder, size)
        wait_until(workers, lambda: store.check([f"up/{rank}" for rank in names]))
        with _threads(threads), group(0, size, store, asked.device, workers):
            team = Team(0, size, dist.PrefixStore("training 1", store), shards, workers.watch, tells=False)
            try:
                _send(team, {name: asked.values[name] for name in sent})
                yield team
                workers.grace = GRACE if team.done else 0.0
            finally:
                workers.end()                               # before the group, which would wait for who is stopped


_had = weakref.WeakKeyDictionary()          # by prompt: the nodes that had devices already


def _check_first_time(hidden, sent: list[str]) -> None:
    """A node is executed anew for each value of a list; ranks replay the list, and would stay at its first value."""
    had = _had.setdefault(hidden.dynprompt, set())
    if hidden.unique_id in had:
        get_node = hidden.dynprompt.get_node
        node = get_node(hidden.unique_id)
        lists = [name for name in links_of(node) if name not in sent and listed(get_node, node["inputs"][name])]
        if lists:
            raise ValueError(f"devices: a list is connected to {', '.join(lists)}, which each device makes for itself "
                             "and of which it would take the first value again. Set devices to 1, or run the workflow "
                             "once for each value.")
    had.add(hidden.unique_id)


def _send(team, values):
    for name, value in values.items():
        try:
            team.from_first((name, value))
        except (RankFailed, InterruptProcessingException):
            raise
        except Exception as error:                          # of pickle's many kinds
            raise ValueError(f"devices: what is connected to {name} cannot be sent to the other devices "
                             f"({type(error).__name__}: {str(error)[:200]}).") from error


def store_of(folder, size: int) -> dist.FileStore:
    """A file: no port is opened for it, and torch's wheels for Windows lack what a TCPStore wants there."""
    store = dist.FileStore(str(Path(folder) / "store"), size)
    store.set_timeout(timedelta(seconds=IN_PAUSES))
    return store


@contextmanager
def _threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _visible(number: int) -> str:
    """What CUDA_VISIBLE_DEVICES says for a device that this process counts as `number`."""
    names = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES") if torch.version.hip else ("CUDA_VISIBLE_DEVICES",)
    own = next(filter(None, map(os.environ.get, names)), "").split(",")
    return own[number].strip() if number < len(own) and own[number].strip() else str(number)


@contextmanager
def group(rank: int, size: int, store, device: torch.device, workers: Workers | None = None) -> Iterator[None]:
    """The torch.distributed group of this machine's ranks, which talk over the loopback alone. workers: who is watched
    while they meet, which Cancel ends then. Raises RuntimeError where one of them is gone."""
    def begin():
        _count_groups_anew()
        dist.init_process_group(backend_for(device), rank=rank, world_size=size,
                                store=dist.PrefixStore("group", store), timeout=timedelta(seconds=IN_PAUSES))
    with _loopback():
        beside(begin, partial(wait_until, workers)) if workers else begin()
    try:
        yield
    finally:
        dist.destroy_process_group()


def _count_groups_anew() -> None:
    """torch names groups by a count, which one that never met leaves raised: the next would have another name here than
    in its new ranks, and all would wait for each other."""
    world = getattr(dist.distributed_c10d, "_world", None)
    if world is not None and not dist.is_initialized():
        world.group_count = 0


@contextmanager
def _loopback():
    name, interface = "GLOO_SOCKET_IFNAME", LOOPBACK.get(sys.platform)
    if interface is None or name in os.environ:
        yield
        return
    os.environ[name] = interface
    try:
        yield
    finally:
        del os.environ[name]
