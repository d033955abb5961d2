"""Which blocks of several LoRAs fight, in words and as a chart: before a rule is chosen that joins them."""
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce

import comfy.lora
import comfy.utils
import torch
from torch import Tensor

from ...shared.text_syntax import shorten
from ..patches import energy
from ..patches.adapter_parts import is_config
from ..patches.combine import SUM, Combination
from ..patches.conflict import Conflict, pairwise, sampled, sampled_product
from ..patches.merge import plain_factors
from .patching import ApplyResult, Component
from .stack import Entry, entries, host_row

Conflicts = dict[str, dict[tuple[int, int], Conflict]]


def told(how: Combination, results: Sequence[ApplyResult], owners: Sequence, names: Sequence[str]) -> tuple:
    """(the conflicts in words, one text or none, and their chart) of LoRAs that a rule joined."""
    if how.method == SUM or len(results) < 2:
        return [], no_chart()
    found = conflicts([result.components for result in results], owners)
    return ["\n".join(conflict_lines(found, names))], conflict_chart(found, names)


def conflicts(layers: Sequence[Sequence[Component]], owners: Sequence) -> Conflicts:
    """Of every two LoRAs in every block. layers: the components of each LoRA; owners: the MODEL and the CLIP or None.

    Stops at Cancel."""
    rows = [row for number, owner in enumerate(owners) if owner is not None
            for row in _shared([layer[number] for layer in layers], getattr(owner, "patcher", owner))]
    bar = comfy.utils.ProgressBar(max(len(rows), 1))

    def counted():
        for block, changes in rows:
            yield block, [change() if change else None for change in changes]
            bar.update(1)

    with torch.no_grad():
        return pairwise(counted())


def _shared(components: Sequence[Component], patcher) -> list[tuple[str, list[Callable[[], Tensor] | None]]]:
    """(block, a function for the change of each LoRA or None) for the weights that several of them change."""
    blocks, own = {}, []
    for component in components:
        blocks |= {change.key: change.alias for change in component.changes}
        by_key = {}
        for entry in entries([component]):
            if not is_config(entry.patch):
                by_key.setdefault(entry.key, []).append(entry)
        own.append(by_key)
    count = Counter(key for by_key in own for key in by_key)
    return [(blocks[key], [partial(_change, by_key[key], patcher) if key in by_key else None for by_key in own])
            for key, number in count.items() if number > 1]


def _change(row: Sequence[Entry], patcher) -> Tensor:
    """Some rows of the change that the patches of one LoRA make to a weight together."""
    factors = plain_factors(row[0].patch) if len(row) == 1 and isinstance(row[0].target, str) else None
    if factors:
        up, down, scale = factors
        return sampled_product(up, down, scale * row[0].change)
    weight = energy.readable_weight(patcher, row[0].key).to("cpu", torch.float32)
    before = weight if any(entry.depends for entry in row) else torch.zeros_like(weight)
    return sampled(comfy.lora.calculate_weight([host_row(entry) for entry in row], before.clone(), row[0].key) - before)


def conflict_lines(found: Conflicts, names: Sequence[str]) -> list[str]:
    """The conflicts in words: of every two LoRAs over all blocks, then the worst two of every block."""
    if not found:
        return ["Conflict: no weight is changed by several LoRAs."]
    lines = [f"Conflict of {shorten(names[one])} and {shorten(names[other])}: {_said(_total(found, (one, other)))}"
             for one, other in _pairs(found)]
    worst = {block: min(own.values(), key=lambda each: each.cosine) for block, own in found.items()}
    return lines + ["by block" + (", the two that fight most" if len(_pairs(found)) > 1 else "") + ":",
                    *(f"- {block}: {_said(each)}" for block, each in worst.items())]


def _said(each: Conflict) -> str:
    return f"cosine {each.cosine:+.3f}, signs apart in {each.disagreement:.1%}"


def _pairs(found: Conflicts) -> list[tuple[int, int]]:
    return sorted({pair for own in found.values() for pair in own})


def _total(found: Conflicts, pair: tuple[int, int]) -> Conflict:
    return reduce(Conflict.__add__, (own[pair] for own in found.values() if pair in own), Conflict())


def conflict_chart(found: Conflicts, names: Sequence[str]) -> Tensor:
    """[1, height, width, 3]: a row a block; for every two LoRAs the cosine, and signs that agree less those apart."""
    from ...charts.chart_types.effect_bars import Words, effect_grid
    from ...charts.drawing.draw import render
    from ...charts.drawing.theme import LIGHT
    pairs = _pairs(found)
    cells = lambda own: [number for pair in pairs for number in _numbers(own.get(pair))]
    rows = [(block, cells(own)) for block, own in found.items()] or [("no weight is changed by both", [None, None])]
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
