"""Ranks that train one LoRA. Each draws everything for the whole batch and computes its own rows of it; one sum a step
joins them.

The buffer that is summed is the flat gradient with a tail: the step's numbers, and what ranks have to tell each other.
So Cancel, Stop and keep and failures need no message of their own: a rank that leaves takes part once more to say so.
"""
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

import torch
import torch.distributed as dist

NUMBERS = 3                                     # of a step: its loss, and two more that a goal may measure
CANCEL, STOP, FAILED, AGAIN = NUMBERS, NUMBERS + 1, NUMBERS + 2, NUMBERS + 3
TAIL = NUMBERS + 4
LONGEST = 3600.0                                # seconds that rank 0 waits for others that are still there
IN_PAUSES = 24 * 3600.0                         # and that others wait for rank 0, which draws, validates and saves
LOOK = 0.2                                      # seconds between two looks at what else may have happened
MOST_SHARDS = 8                                 # of `exact`


class RankFailed(Exception):
    """Another rank failed or is gone. No RuntimeError, which a step would be taken again after in another way."""
    elsewhere = True


class Cancelled(Exception):
    """Another rank was cancelled."""


class TakeAgain(MemoryError):
    """Memory was full on a rank whose step the others cannot do without: all take it again in smaller parts."""


def beside(call: Callable[[], None], wait: Callable[[Callable[[], bool]], None]) -> None:
    """call(), which torch.distributed cannot begin and leave, in a thread. wait(done) returns once done() or raises, as
    for a Cancel or a rank that is gone; the thread then ends with the connection or its own timeout."""
    failed = []

    def run():
        try:
            call()
        except Exception as error:
            failed.append(error)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait(lambda: not thread.is_alive())
    if failed:
        raise failed[0]


class Team:
    """This rank among `size`. shards: 0 sums in the back end's order; else rows are computed in so many parts whatever
    the number of ranks and summed in a fixed tree, so that 1, 2 and 4 ranks give the same bits.

    store: a torch.distributed store, None for a rank by itself. watch: called while this rank waits, with the seconds
    so far; returns a sentence where another rank is gone, and may raise. waits: how long to wait at most. tells:
    whether the others are told when this rank leaves; not where they are ended by it."""

    def __init__(self, rank: int = 0, size: int = 1, store=None, shards: int = 0,
                 watch: Callable[[float], str | None] = lambda waited: None, waits: float = LONGEST,
                 tells: bool = True):
        if shards % size:
            raise ValueError(f"exact: expected a number of devices that {shards} can be divided by, got {size}. With "
                             "exact a batch is computed in parts, as many as its pictures allow and "
                             f"{MOST_SHARDS} at most.")
        self.rank, self.size, self.store, self.watch, self.waits = rank, size, store, watch, waits
        self.tells = tells
        self.exact, self.shards = bool(shards), shards or size
        self.stop: Callable[[], bool] = lambda: False
        self.stopping, self.apart, self.begun, self.done = False, False, False, False
        self.summed = False                     # the others go on from the present step, which cannot be taken again
        self.numbers: list[float] = []
        self.parts: list[torch.Tensor] = []
        self.meetings = 0
        self.farewell: Callable[[], None] | None = None     # tells that this rank leaves, where a sum would not
        self.seconds: list[float] = []          # of each step up to its sum, and of the sum with the waiting in it
        self.summing: list[float] = []

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.size == 1

    def own(self, rows: int, rank: int | None = None) -> list[slice]:
        """The rows of a batch that are a rank's, this one's by default: a slice a shard, which may be empty."""
        mine, rank = self.shards // self.size, self.rank if rank is None else rank
        return [slice(s * rows // self.shards, (s + 1) * rows // self.shards)
                for s in range(rank * mine, (rank + 1) * mine)]

    def rows_at_once(self, batch_size: int) -> int:
        """Most rows that a rank computes in one go."""
        return -(-batch_size // self.shards)

    def begin(self, gradient: torch.Tensor) -> None:
        """Before a step: nothing is added up yet."""
        self.summed = False
        self.began = time.perf_counter()
        if not self.parts:
            self.parts = [gradient.new_zeros(gradient.numel() + TAIL) for _ in self.own(self.shards)]
        for part in self.parts:
            part.zero_()

    def over_rows(self, gradient: torch.Tensor, rows: int, share: float,
                  work: Callable[[slice], torch.Tensor]) -> torch.Tensor:
        """Calls work(rows) for each part of a batch that is this rank's. It adds `share` of the part's gradient to
        `gradient` and returns the part's numbers, the loss first; both are kept for the sum. Returns this rank's
        numbers [NUMBERS]."""
        own = gradient.new_zeros(NUMBERS)
        for part, mine in zip(self.parts, self.own(rows), strict=True):
            if mine.start == mine.stop:
                continue
            numbers = work(mine).detach().reshape(-1)
            part[:-TAIL] += gradient
            part[-TAIL:][:len(numbers)] += share * numbers
            own[:len(numbers)] += numbers
            gradient.zero_()
        return own

    def agree(self, gradient: torch.Tensor) -> tuple[float, float]:
        """Puts the whole batch's gradient into `gradient`; returns the step's loss and the gradient's norm.

        Raises Cancelled or RankFailed, on every rank that still listens, where one has left."""
        self.parts[0][STOP - TAIL] = float(self.stop())
        begun = time.perf_counter()
        whole = self._sum()
        gradient.copy_(whole[:-TAIL])
        *tail, norm = torch.cat([whole[-TAIL:], gradient.norm()[None]]).tolist()
        self.seconds.append(time.perf_counter() - self.began)
        self.summing.append(time.perf_counter() - begun)
        self.numbers, self.stopping = tail[:NUMBERS], self.stopping or tail[STOP] > 0
        if tail[CANCEL] > 0 or tail[FAILED] > 0:
            self.apart = True
            raise Cancelled() if tail[CANCEL] > 0 else RankFailed(self.why())
        if tail[AGAIN] > 0:
            raise TakeAgain("memory is full on one of the devices")
        self.summed = not self.alone
        if not math.isfinite(tail[0] + norm):
            self.apart = True                   # everybody sees the same sum and stops at the same step
        return tail[0], norm

    def leave(self, why: str, cancelled: bool = False) -> None:
        """Tells the others, in what they wait in, that this rank takes no further part. Never raises."""
        if self.apart or self.alone:
            return
        self.apart = True
        if not self.tells:
            return
        try:
            self.store.set(f"why/{self.rank}", why)
            if self.farewell is not None:
                self.farewell()
                return
            if not self.begun:
                self.gather(why)                # before the first step everybody meets, see meeting.py
                return
            for part in self.parts:
                part.zero_()
            self.parts[0][(CANCEL if cancelled else FAILED) - TAIL] = 1.0
            self._sum()
        except Exception as error:              # those who should listen may be gone as well
            logging.warning("Rank %d could not tell the others that it leaves: %s", self.rank, error)

    def take_again(self) -> None:
        """Says in this step's sum that all have to take it again."""
        self.parts[0][AGAIN - TAIL] = 1.0

    def gather_bytes(self, whole: torch.Tensor, mine: torch.Tensor) -> Callable[[], None]:
        """Begins to fill `whole` with everybody's bytes in order of ranks; returns what to call to wait for it."""
        with self._naming():
            work = dist.all_gather_into_tensor(whole, mine, async_op=True)

        def wait():
            with self._naming():
                self._finish(work)
        return wait

    def tell(self, number: int) -> None:
        """Rank 0 says a number that the others hear()."""
        with self._naming():
            dist.broadcast(torch.tensor([number]), src=0)

    def hear(self) -> int:
        told = torch.zeros(1, dtype=torch.int64)
        with self._naming():
            self._finish(dist.broadcast(told, src=0, async_op=True))
        return int(told)

    def gather(self, value) -> list:
        """Everybody's value, by rank."""
        self._arrive()
        found = [None] * self.size
        with self._naming():
            beside(lambda: dist.all_gather_object(found, value), self._wait)
        return found

    def gather_at_first(self, value) -> list | None:
        """Everybody's value, by rank, on rank 0 alone."""
        self._arrive()
        found = [None] * self.size if self.first else None
        with self._naming():
            beside(lambda: dist.gather_object(value, found, dst=0), self._wait)
        return found

    def from_first(self, value=None):
        """Rank 0's value."""
        box = [value if self.first else None]
        with self._naming():
            beside(lambda: dist.broadcast_object_list(box, src=0), self._wait)
        return box[0]

    def _arrive(self):
        """Waits for everybody, in a way that Cancel can end."""
        self.meetings += 1
        self.store.set(f"here/{self.meetings}/{self.rank}", "1")
        names = [f"here/{self.meetings}/{rank}" for rank in range(self.size)]
        self._wait(lambda: self.store.check(names))

    def _sum(self) -> torch.Tensor:
        """The sum of everybody's parts."""
        return self._across(_tree(self.parts))

    def _across(self, whole):
        if self.alone:
            return whole
        with self._naming():
            if not self.exact:
                self._finish(dist.all_reduce(whole, async_op=True))
                return whole
            every = [torch.empty_like(whole) for _ in range(self.size)]
            self._finish(dist.all_gather(every, whole, async_op=True))
            return _tree(every)

    def _finish(self, work):
        self._wait(work.is_completed)
        work.wait()

    def _wait(self, done: Callable[[], bool]):
        began, pause, next_look = time.monotonic(), 0.0002, LOOK
        while not done():
            time.sleep(pause)
            pause, waited = min(0.02, pause * 1.2), time.monotonic() - began
            if waited > next_look:
                next_look = waited + LOOK
                self._look(waited)

    def _look(self, waited):
        try:
            gone = self.watch(waited)
        except BaseException:
            self.apart = True
            raise
        if gone is None and waited > self.waits:
            gone = f"a rank has not answered for {waited:.0f} s"
        if gone is not None:
            self.apart = True
            raise RankFailed(gone)

    @contextmanager
    def _naming(self):
        """torch.distributed's errors, a connection that closed or its own timeout, with a sentence."""
        try:
            yield
        except RuntimeError as error:
            self.apart = True
            known = self._gone() or self.why("")
            raise RankFailed(known or f"a rank is gone ({str(error).splitlines()[0][:160]})") from None

    def _gone(self):
        """What the watch knows of a process whose connection has just closed: that it ended is seen a moment later."""
        for _ in range(20):
            if (gone := self.watch(0.0)) is not None:
                return gone
            time.sleep(0.05)
        return None

    def why(self, unknown: str = "a rank is gone") -> str:
        """What ranks said that left."""
        told = [rank for rank in range(self.size) if self.store.check([f"why/{rank}"])]
        return "; ".join(f"rank {rank}: {self.store.get(f'why/{rank}').decode()}" for rank in told) or unknown


def _tree(parts):
    """((0 + 1) + (2 + 3)) + ..., which no number of ranks changes."""
    parts = list(parts)
    while len(parts) > 1:
        parts = [a.add_(b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def shards_of(batch_size: int) -> int:
    """Parts that `exact` computes a batch in: the largest power of two that its pictures allow, MOST_SHARDS at most."""
    return min(MOST_SHARDS, 1 << (batch_size.bit_length() - 1))


def check_rows(size: int, batch_size: int) -> None:
    """Raises ValueError where a device would have nothing to compute."""
    if batch_size < size:
        raise ValueError(f"devices: {size} devices need a batch_size of at least {size}, a picture each, got "
                         f"{batch_size}. batch_size counts the pictures of a step over all devices.")


def backend_for(device: torch.device) -> str:
    """What carries the sums: NCCL between CUDA cards where torch has it, gloo elsewhere; gloo for all else that is
    told."""
    if device.type != "cuda" or not dist.is_nccl_available():
        return "gloo"
    # NCCL's watchdog ends the process after its timeout unless told not to, and rank 0 may be the user's ComfyUI.
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "2")
    return "cpu:gloo,cuda:nccl"
