"""Pictures are read, decoded, brought to size and looked at by threads of their own, while the VAE encodes those that
come before."""
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

THREADS = min(4, max(1, (os.cpu_count() or 2) - 1))     # one core is the VAE's
AHEAD = THREADS + 1     # pictures that are held opened at most beside the present one, whatever the set's size


@contextmanager
def made_ahead(at_hand: Callable[[Any], Any], make: Callable[[Any], Any], items: Iterable
               ) -> Iterator[Iterator[tuple[Any, Callable[[], Any]]]]:
    """Within it (item, result) in the order of items. result(): what at_hand(item) gave, or where that was None what
    make(item) gives, by a thread; waited for where it is not done. It raises what make raised, so that an error comes
    when it is the item's turn. However the context ends, no more than what is half made is made, and the threads end
    with it. at_hand: quick, as handing it to a thread would take longer; called here, and raises nothing."""
    mode = torch.is_inference_mode_enabled()            # which is each thread's own

    def work(item):
        with torch.inference_mode(mode):
            return make(item)

    threads = ThreadPoolExecutor(THREADS, "bottega-made-ahead")
    try:
        yield _in_turn(at_hand, partial(threads.submit, work), items)
    finally:
        threads.shutdown(cancel_futures=True)


def _in_turn(at_hand, submit, items):
    begun = deque()
    for item in items:
        found = at_hand(item)
        begun.append((item, submit(item).result if found is None else partial(_same, found)))
        if len(begun) > AHEAD:
            yield begun.popleft()
    while begun:
        yield begun.popleft()


def _same(found):
    return found
