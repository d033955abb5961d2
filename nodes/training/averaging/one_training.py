"""Whether checkpoints are of one training, by what their files say of it."""
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from ...shared.text_syntax import shorten

SETTINGS = {"ss_seed": "seed", "ss_learning_rate": "learning rate"}     # by which trainings of one name differ
NAMED = 2           # files of a group that a sentence names


class Group(NamedTuple):
    """Files that say the same of a setting, in the order of their steps."""
    value: str
    files: list

    @property
    def steps(self) -> tuple[int, int]:
        """The first and the last."""
        return self.files[0].step, self.files[-1].step

    def overlaps(self, other: "Group") -> bool:
        return self.steps[0] <= other.steps[1] and other.steps[0] <= self.steps[1]


def check_one_training(snapshots: Sequence) -> str:
    """A sentence where a setting changes from one step on, as in a training that was resumed with another, else "".
    snapshots: in the order of their steps.

    Raises ValueError where files of other seeds or learning rates are of the same steps: `my_lora*` also takes the
    my_lora_00001 of a second training. What a file does not say is not compared."""
    told = []
    for key, word in SETTINGS.items():
        groups = _groups(snapshots, key)
        for one, other in combinations(groups, 2):
            if one.overlaps(other):
                raise ValueError(f"loras: expected checkpoints of one training, got steps of two: {word} {_named(one)} "
                                 f"and {word} {_named(other)}. Name the files of one of them, or part them with first "
                                 "and last.")
        if len(groups) > 1:
            of = (f"{shorten(each.value)} ({_steps(*each.steps)})" for each in groups)
            told.append(f"The {word} is not the same in all: {', '.join(of)}. That is one training only if it was "
                        "resumed so.")
    return " ".join(told)


def _groups(snapshots: Sequence, key: str) -> list[Group]:
    found: dict[str, list] = {}
    for each in snapshots:
        if value := each.said.get(key, ""):
            found.setdefault(value, []).append(each)
    return [Group(*each) for each in found.items()]


def _steps(first: int, last: int) -> str:
    return f"step {first}" if first == last else f"steps {first} to {last}"


def _named(group: Group) -> str:
    names = [shorten(each.name) for each in group.files[:NAMED]]
    more = len(group.files) - len(names)
    return f"{shorten(group.value)} ({', '.join(names)}{f' and {more} more' if more else ''})"
