"""Pictures drawn on several devices: the pictures of one, in the same order, of which each device draws its share."""
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple, TypeVar

from torch import Tensor

from ..training.distributed.joining import team_that_draws
from ..training.distributed.local_group import Asked
from ..training.distributed.meeting import Answer, failures, other_answer
from ..training.distributed.team import RankFailed, Team

Job = TypeVar("Job")
Drawn = TypeVar("Drawn")
Share = Callable[[Callable[[Job], Drawn], Iterable[Job]], Iterator[Drawn]]      # as the built-in map, which is for one


class Failed(NamedTuple):
    """What a rank gives instead of a picture."""
    why: str


class SharedSampling:
    """The devices of one node, None for one. seconds: of each picture of rank 0; waves: of as many at a time as there
    are devices; starting: until all had begun."""

    def __init__(self, team: Team | None = None):
        self.team, self.starting = team, 0.0
        self.seconds: list[float] = []
        self.waves: list[float] = []

    def map(self, draw: Callable[[Job], Drawn], jobs: Iterable[Job]) -> Iterator[Drawn]:
        """draw(job) of every job in order, each drawn when its turn has come; jobs can be sent to another process.

        Several at a time on several devices, and then on the CPU; a rank other than 0 draws what rank 0 tells it and
        does not return. Raises RankFailed, as a sentence, where another rank fails or is gone."""
        if self.team is None:
            return map(draw, jobs)
        if not self.team.first:
            self._serve(draw)
        return self._in_waves(draw, iter(jobs))

    def _in_waves(self, draw, jobs):
        while wave := list(islice(jobs, self.team.size)):
            yield from self._together(draw, wave)

    def _together(self, draw, wave):
        began = time.perf_counter()
        self.team.from_first(wave)
        own = on_cpu(draw(wave[0]))
        self.seconds.append(time.perf_counter() - began)
        _, *others = self.team.gather_at_first(None)
        self.waves.append(time.perf_counter() - began)
        failed = [f"rank {rank}: {each.why}" for rank, each in enumerate(others, 1) if isinstance(each, Failed)]
        if failed:
            raise RankFailed(f"devices: {'; '.join(failed)}")
        return [own, *others][:len(wave)]

    def _serve(self, draw):
        """Until rank 0 ends this process, or its connection closes."""
        while True:
            mine = self.team.from_first()[self.team.rank:][:1]
            self.team.gather_at_first(_tried(draw, *mine) if mine else None)

    def sentence(self, drawn: str = "a picture") -> str:
        """For the report; nothing for one device. drawn: what a device draws at a time."""
        if not self.waves:
            return ""
        size, own, wave = self.team.size, statistics.median(self.seconds), statistics.median(self.waves)
        return (f"Drawn on {size} devices, which had begun after {self.starting:.3g} s: {drawn} took {own:.3g} s on "
                f"rank 0, and {size} came every {wave:.3g} s.")


def _tried(draw, job):
    try:
        return on_cpu(draw(job))
    except Exception as error:          # of the model's and of other packs' many kinds
        return Failed(f"{type(error).__name__}: {error}"[:300])


def on_cpu(value):
    """Tensors, also in tuples, lists and dicts, on the CPU: a device's number means another one in each process."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: on_cpu(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(on_cpu, value))
    return type(value)(map(on_cpu, value)) if isinstance(value, (list, tuple)) else value


@contextmanager
def sharing(asked: Asked, most: int, probe: Callable[[], Tensor]) -> Iterator[SharedSampling]:
    """The devices of a node that can draw up to `most` pictures at a time. probe: what its model makes of noise, for
    models that differ to be seen. Raises ValueError, as a sentence, for devices that cannot be, and RankFailed."""
    began = time.perf_counter()
    with team_that_draws(asked, most) as team:
        group = SharedSampling(team)
        if team is not None:
            _meet(team, probe)
            group.starting = time.perf_counter() - began
        yield group


def _meet(team, probe):
    """All ranks have the same model. Raises on every rank: RankFailed with what ended another, ValueError where models
    differ."""
    told = team.gather(Answer.of(probe()))
    apart = failures(told) or next(filter(None, (
        other_answer(rank, answer, told[0]) for rank, answer in enumerate(told[1:], 1))), None)
    if apart:
        team.apart = True
        raise apart
    team.begun = True
