"""Which blocks of several LoRAs fight, in words and as a chart: before a rule is chosen that joins them."""
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple

import comfy.lora
import comfy.utils
import torch
from torch import Tensor

from ...shared.text_syntax import shorten
from ..patches.adapter_parts import is_config
from ..patches.combine import SUM, Combination
from ..patches.conflict import Conflict, pairwise, sampled, sampled_product
from ..patches.lazy_weight import LazyWeight, own_lazily
from ..patches.merge import plain_factors
from .patching import ApplyResult, Component
from .stack import Entry, entries, host_row

Conflicts = dict[str, dict[tuple[int, int], Conflict]]


def told(how: Combination, results: Sequence[ApplyResult], owners: Sequence, names: Sequence[str]) -> tuple:
    """(the conflicts in words, one text or none, and their chart) of LoRAs that a rule joined."""
    if how.method == SUM or len(results) < 2:
        return [], no_chart()
    layers = [result.components for result in results]
    found, unread = conflicts(layers, owners), unmeasured(layers, owners)
    return ["\n".join(conflict_lines(found, names, unread))], conflict_chart(found, names, unread)


def conflicts(layers: Sequence[Sequence[Component]], owners: Sequence) -> Conflicts:
    """Of every two LoRAs in every block. layers: the components of each LoRA; owners: the MODEL and the CLIP or None.

    Without the changes of `unmeasured`. Stops at Cancel."""
    rows = _shared(layers, owners)
    bar = comfy.utils.ProgressBar(max(len(rows), 1))

    def counted():
        for each in rows:
            yield each.block, [None if row is None or _unread(row, each.weight) else _change(row, each.weight)
                               for row in each.rows]
            bar.update(1)

    with torch.no_grad():
        return pairwise(counted())


def unmeasured(layers: Sequence[Sequence[Component]], owners: Sequence) -> list[str]:
    """The keys of weights on which LoRAs meet, and which the host cannot unpack though the change of one depends on
    them."""
    return [each.weight_key for each in _shared(layers, owners)
            if any(row and _unread(row, each.weight) for row in each.rows)]


class Shared(NamedTuple):
    """A weight that several LoRAs change. rows: what each of them has for it, or None."""
    block: str
    weight_key: str
    weight: LazyWeight
    rows: list[Sequence[Entry] | None]


def _shared(layers: Sequence[Sequence[Component]], owners: Sequence) -> list[Shared]:
    return [each for number, owner in enumerate(owners) if owner is not None
            for each in _on_one([layer[number] for layer in layers], getattr(owner, "patcher", owner))]


def _on_one(components: Sequence[Component], patcher) -> list[Shared]:
    blocks, own = {}, []
    for component in components:
        blocks |= {change.key: change.alias for change in component.changes}
        by_key = {}
        for entry in entries([component]):
            if not is_config(entry.patch):
                by_key.setdefault(entry.key, []).append(entry)
        own.append(by_key)
    count = Counter(key for by_key in own for key in by_key)
    return [Shared(blocks[key], key, own_lazily(patcher, key), [by_key.get(key) for by_key in own])
            for key, number in count.items() if number > 1]


def _unread(row: Sequence[Entry], weight: LazyWeight) -> bool:
    return not weight.readable and any(entry.depends for entry in row)


def _change(row: Sequence[Entry], weight: LazyWeight) -> Tensor:
    """Some rows of the change that the patches of one LoRA make to a weight together."""
    factors = plain_factors(row[0].patch) if len(row) == 1 and isinstance(row[0].target, str) else None
    if factors:
        up, down, scale = factors
        return sampled_product(up, down, scale * row[0].change)
    depends = any(entry.depends for entry in row)
    before = weight().to("cpu", torch.float32) if depends else torch.zeros(weight.shape)
    return sampled(comfy.lora.calculate_weight([host_row(entry) for entry in row], before.clone(), row[0].key) - before)


def conflict_lines(found: Conflicts, names: Sequence[str], unread: Sequence[str] = ()) -> list[str]:
    """The conflicts in words: of every two LoRAs over all blocks, then the worst two of every block.

    unread: keys of weights where not all could be measured."""
    missing = [f"not measured, of LoRAs whose change depends on weights that another pack packs: {len(unread)} "
               f"weight{'s' * (len(unread) > 1)} ({shorten(', '.join(unread))})"] if unread else []
    if not found:
        return missing or ["Conflict: no weight is changed by several LoRAs."]
    lines = [f"Conflict of {shorten(names[one])} and {shorten(names[other])}: {_said(_total(found, (one, other)))}"
             for one, other in _pairs(found)]
    worst = {block: min(own.values(), key=lambda each: each.cosine) for block, own in found.items()}
    return lines + ["by block" + (", the two that fight most" if len(_pairs(found)) > 1 else "") + ":",
                    *(f"- {block}: {_said(each)}" for block, each in worst.items()), *missing]


def _said(each: Conflict) -> str:
    return f"cosine {each.cosine:+.3f}, signs apart in {each.disagreement:.1%}"


def _pairs(found: Conflicts) -> list[tuple[int, int]]:
    return sorted({pair for own in found.values() for pair in own})


def _total(found: Conflicts, pair: tuple[int, int]) -> Conflict:
    return reduce(Conflict.__add__, (own[pair] for own in found.values() if pair in own), Conflict())


def conflict_chart(found: Conflicts, names: Sequence[str], unread: Sequence[str] = ()) -> Tensor:
    """[1, height, width, 3]: a row a block; for every two LoRAs the cosine, and signs that agree less those apart."""
    from ...charts.chart_types.effect_bars import Words, effect_grid
    from ...charts.drawing.draw import render
    from ...charts.drawing.theme import LIGHT
    pairs = _pairs(found)
    cells = lambda own: [number for pair in pairs for number in _numbers(own.get(pair))]
    nothing = "no weight was measured" if unread else "no weight is changed by both"
    rows = [(block, cells(own)) for block, own in found.items()] or [(nothing, [None, None])]
    heads = [f"{what} {one + 1} and {other + 1}" for one, other in pairs for what in ("cosine", "signs")]
    words = Words("Conflict of the LoRAs, block by block", "cosine, and signs that agree less signs apart: "
                  "1 the same, 0 unrelated, -1 opposite", _who(names))
    whole = ("all blocks", cells({pair: _total(found, pair) for pair in pairs})) if found else None
    return render(effect_grid(rows, heads or ["cosine", "signs"], words, LIGHT, whole), LIGHT.paper)


def _numbers(each: Conflict | None) -> tuple[float | None, float | None]:
    return (None, None) if each is None else (each.cosine, 1 - 2 * each.disagreement)


def _who(names: Iterable[str]) -> str:
    return ", ".join(f"{number} {shorten(name)}" for number, name in enumerate(names, 1))


def no_chart() -> Tensor:
    """What stands in place of the chart where nothing was measured."""
    from ...charts.chart_types.effect_bars import Words, effect_bars
    from ...charts.drawing.draw import render
    from ...charts.drawing.theme import LIGHT
    words = Words("No conflict was measured", "it is, where several LoRAs are joined and combine is not sum", "")
    return render(effect_bars([], words, LIGHT), LIGHT.paper)
