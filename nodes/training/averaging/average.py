"""Checkpoints of one training, averaged: with which weights, into what, and what is told of it."""
import json
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ...shared.markdown_table import cell
from ...shared.text_syntax import shorten
from .averaged_lora import at_rank, of_changes, of_factors, parts_of, read, tensors_of
from .power_function_ema import before_first, weights_of_averages, weights_of_plain
from .snapshots import Snapshot

MEAN, EMA, POST_HOC = HOW = ("mean", "ema", "post_hoc_ema")


class Weighted(NamedTuple):
    """The snapshots that count, the weight of each, and a sentence about them."""
    snapshots: list[Snapshot]
    weights: list[float]
    told: str


class Averaged(NamedTuple):
    tensors: dict[str, Tensor]
    report: str
    data: str
    """JSON, a row for each snapshot."""


def weighted(snapshots: Sequence[Snapshot], how: str, length: float, kept_length: float = 0.0) -> Weighted:
    """how: of HOW. kept_length: of the averages that the files hold, 0 for what each file says of itself.

    Raises ValueError for post_hoc_ema of files that are not known to hold averages."""
    snapshots = [each._replace(kept=kept_length or each.kept) for each in snapshots]
    steps = [each.step for each in snapshots]
    if how == MEAN:
        weights, told = [1 / len(steps)] * len(steps), "Every checkpoint counts alike."
    elif how == EMA:
        once = list(dict.fromkeys(steps))       # files of one step, as of two lengths, share what it counts
        of_step = dict(zip(once, weights_of_plain(once, length), strict=True))
        weights = [of_step[step] / steps.count(step) for step in steps]
        told = (f"A power-function average of length {length:g} that ends at step {steps[-1]}. Between checkpoints the "
                "change is taken to move in a straight line; the first of them stands for all before it, "
                f"{before_first(steps, length):.1%} of the average.")
    else:
        weights, told = _post_hoc(snapshots, length)
    told += _warned(snapshots, how)
    counted = [(each, weight) for each, weight in zip(snapshots, weights, strict=True) if weight]
    return Weighted([each for each, _ in counted], [weight for _, weight in counted], told)


def _post_hoc(snapshots, length):
    if plain := next((each.name for each in snapshots if not each.kept), None):
        raise ValueError("kept_length: expected the length of the averages that the files hold, for post_hoc_ema, got "
                         f'0, and {shorten(plain)} says none of itself. For plain checkpoints set how to "{EMA}".')
    found = weights_of_averages([each.step for each in snapshots], [each.kept for each in snapshots], length)
    kept = ", ".join(f"{each:g}" for each in sorted({each.kept for each in snapshots}))
    return found.weights, (f"A power-function average of length {length:g} that ends at step {snapshots[-1].step}, "
                           f"out of averages of length {kept}: {found.error:.3%} of its profile is missed (norm). The "
                           "factors are averaged, as they were while training.")


def _warned(snapshots, how):
    if how == POST_HOC or not any(each.kept for each in snapshots):
        return ""
    return f' The files hold averages already; how = "{POST_HOC}" takes that into account.'


def average(chosen: Weighted, how: str, rank: int, model=None, clip=None) -> Averaged:
    """The LoRA. rank: the highest of each weight, 0 for what comes of the average. Raises what averaged_lora raises."""
    files, lines = read(chosen.snapshots), []
    if how == POST_HOC:
        tensors = of_factors(files, chosen.weights)
        parts = parts_of(tensors) if rank else []
    else:
        names = [each.name for each in chosen.snapshots]
        parts, lines = of_changes(files, names, chosen.weights, model, clip)
        tensors = tensors_of(parts)
    if rank:
        parts, line = at_rank(parts, rank)
        tensors, lines = tensors_of(parts), [line, *lines]
    return Averaged(tensors, _report(chosen, lines), _data(chosen))


def _report(chosen: Weighted, lines: Sequence[str]) -> str:
    """Markdown."""
    steps = [each.step for each in chosen.snapshots]
    rows = [f"| {each.step} | {cell(each.name)} | {weight:.4f} |"
            for each, weight in zip(chosen.snapshots, chosen.weights, strict=True)]
    head = f"**{len(steps)} checkpoints of steps {steps[0]} to {steps[-1]}.** {chosen.told}"
    table = "\n".join(["| step | file | weight |", "|---:|---|---:|", *rows])
    return "\n\n".join([head, *(["\n".join(lines)] if lines else []), table])


def _data(chosen: Weighted) -> str:
    return json.dumps([{"lora": each.name, "step": each.step, "weight": weight}
                       for each, weight in zip(chosen.snapshots, chosen.weights, strict=True)])
