"""Sentences on what a spec says and no chart shows. Workflows are saved with such words, so they are no error."""
from collections.abc import Iterable, Iterator

from ..shared.text_syntax import shorten
from .chart_language import Call, Spec
from .chart_types import CHART_TYPES
from .grammar.grammar import ARRANGES, CHANNELS
from .grammar.rows import Table, listed
from .grammar.scales import is_column

DRAWN = {**CHANNELS, **ARRANGES, "name": frozenset(), "select": frozenset()}
SHOWN = 24  # characters of a word


def without_effect(spec: Spec, read: Table) -> list[str]:
    """One sentence for each kind of call, however often the spec has it."""
    chains, rows = [*spec.frames, *spec.chains], read.rows
    calls = [call for chain in chains for call in (chain[:1] if _alone(chain[0]) else chain)]
    missed = [("frame", f"picture={spec.frame.get('picture')}")] if read.missed else []
    return [*_each("{0}({1}) is not drawn", ((c.kind, option) for c in calls for option in _undrawn(c, rows))),
            *_each("{0}({1}) divides lines and does not colour them; stroke does", _dividing(calls, rows)),
            *_each("{1} alone in {0}(...) has no effect; write key=value",
                   ((call.kind, call.first) for call in calls if _bare(call))),
            *_each("{1} behind {0}(...) has no effect", _behind(chains)),
            *_each("{0}({1}): rows without that column show its name", _words(calls, rows)),
            *_each("{0}({1}): not every row has that column", _groups(spec.chains, rows)),
            *_each("{0}({1}) has no effect: data has no such picture", missed)]


def _each(sentence: str, found: Iterable[tuple[str, str]]) -> list[str]:
    """The sentence for every kind, with all that was found of it."""
    kinds: dict[str, dict] = {}
    for kind, word in found:
        kinds.setdefault(kind, {})[shorten(word, SHOWN)] = True
    return [sentence.format(kind, listed(words)) for kind, words in kinds.items()]


def _alone(call: Call) -> bool:
    return call.kind in CHART_TYPES or call.kind == "frame"


def _undrawn(call: Call, rows) -> list[str]:
    silent = sorted(call.options.keys() - DRAWN.get(call.kind, call.options.keys()))
    return [option for option in silent if not _divides(call, option, rows)]


def _divides(call: Call, option: str, rows) -> bool:
    return call.kind == "line" and option == "fill" and is_column(call.options.get(option), rows)


def _dividing(calls: list[Call], rows) -> list[tuple[str, str]]:
    return [(call.kind, "fill") for call in calls if _divides(call, "fill", rows)]


def _bare(call: Call) -> bool:
    """Whether the first word stands for nothing, or for what an option says instead."""
    if call.first is None or call.kind in ("name", "select"):
        return False
    takes = {"text": "text", **dict.fromkeys(ARRANGES, "by")}.get(call.kind)
    return takes is None or takes in call.options


def _behind(chains: list[list[Call]]) -> Iterator[tuple[str, str]]:
    """What follows a form or a frame, and what would arrange marks that have their places."""
    for first, *others in chains:
        for call in others:
            if _alone(first) or first.kind == "select" and call.kind in ARRANGES and call.kind != "group":
                yield first.kind, f".{call.kind}"


def _words(calls: list[Call], rows) -> Iterator[tuple[str, str]]:
    """Columns that some rows lack, where words are written."""
    for call in calls:
        column = call.options.get("text", call.first) if call.kind == "text" else None
        if isinstance(column, str) and 0 < sum(column in row for row in rows) < len(rows):
            yield call.kind, column


def _groups(chains: list[list[Call]], rows) -> Iterator[tuple[str, str]]:
    """Columns that some rows lack, where what is connected is divided by them."""
    for call in (call for chain in chains if chain[0].kind == "select" for call in chain if call.kind == "group"):
        column = call.options.get("by", call.first)
        if column is not None and not all(column in row for row in rows):
            yield call.kind, str(column)
