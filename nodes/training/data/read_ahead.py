"""What the next steps need of the disk, read by a thread of its own while the present one computes."""
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import chain, islice

MOST = 16       # pictures that are read ahead at once


class ReadAhead:
    """read(number) reads a picture's files, so that they are at hand when it is its turn. Nothing it raises matters:
    what could not be read ahead is read then."""

    def __init__(self, read: Callable[[int], object]):
        self.read, self.pending = read, {}
        self.thread = ThreadPoolExecutor(1, "bottega-read-ahead")

    def __call__(self, now: Iterable[int], later: Iterable[Sequence[int]]) -> None:
        """now: what is used next, which is waited for where it is half read; later: the batches after that."""
        began: list[Future] = [self.pending.pop(number) for number in {*now} & self.pending.keys()]
        wait([each for each in began if not each.cancel()])
        wanted = list(dict.fromkeys(islice(chain.from_iterable(later), MOST)))
        for number in self.pending.keys() - {*wanted}:      # the order was turned back
            self.pending.pop(number).cancel()
        for number in wanted:
            if number not in self.pending:
                self.pending[number] = self.thread.submit(self.read, number)

    def close(self) -> None:
        """Ends the thread, once the file that it reads is done."""
        self.thread.shutdown(cancel_futures=True)


@contextmanager
def reading_ahead(read: Callable[[int], object] | None):
    """A ReadAhead that ends with the context; None where there is nothing to read."""
    ahead = ReadAhead(read) if read else None
    try:
        yield ahead
    finally:
        if ahead:
            ahead.close()
