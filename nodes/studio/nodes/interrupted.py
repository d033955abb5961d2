"""Results that Cancel cut short go on into the graph once, and are not kept for the next run.

The host keeps what a node gave until an input changes, so that the same graph, run again to its end, would show the cut
result for ever.
"""
from collections import Counter

_cut: Counter[str] = Counter()


def note(node_id: str, cancelled: bool) -> None:
    """Has to be told whenever a node gives a result."""
    _cut[node_id] += cancelled


def cuts(node_id: str) -> int:
    """How many results of the node were cut short: for `fingerprint_inputs`, which is to change after each."""
    return _cut[node_id]
