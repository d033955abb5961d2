"""Files whose name comes by a link: the host asks whether they changed before it knows what the link gives.

What a node read is asked for again then, and a number goes up where it has changed since. Whether the link gives
something else the host sees itself."""
from collections import Counter
from collections.abc import Callable
from functools import partial

Version = Callable[..., object]     # given names, "" where there is none: what changes when their files do

_read: dict[str, tuple[Callable[[], object], object] | None] = {}   # by node: what tells the version, and which it read
_changes: Counter[str] = Counter()


def fingerprint(cls, version: Version, *names: str | None) -> object:
    """What `fingerprint_inputs` of a node answers. names: None where one is linked."""
    typed = version(*(name or "" for name in names))
    return [typed, _changes_of(_id(cls))] if None in names else typed


def note(cls, version: Version, *names: str) -> None:
    """Has to be told by `execute` before it reads. Nothing is asked where all names are typed."""
    if _id(cls) in _read:
        tell = partial(version, *names)
        _read[_id(cls)] = tell, tell()


def _changes_of(node_id: str) -> int:
    kept = _read.setdefault(node_id, None)
    if kept and (now := kept[0]()) != kept[1]:
        _changes[node_id] += 1
        _read[node_id] = kept[0], now
    return _changes[node_id]


def _id(cls) -> str:
    """The node's, which `hidden` of its schema has to name; a call that is not the host's has none."""
    return cls.hidden.unique_id if cls.hidden else ""
