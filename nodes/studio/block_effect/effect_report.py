"""What was found about the blocks of a LoRA: in words, as data, and in three pictures."""
import json
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...charts.chart_types.contact_sheet import Cell, sheet, thumbnail
from ...charts.chart_types.effect_bars import Part, Words, effect_bars, effect_grid
from ...charts.drawing.draw import render
from ...charts.drawing.theme import LIGHT, ramp
from ...critique.report import what_counts
from ...critique.report.critique_report import tradition
from ..cut_short import CANCELLED
from .observations import LATENT, PIXELS, SCORE, BlockEffects, EffectSettings, PictureChange

UNITS = {SCORE: "points of 100", PIXELS: "mean difference, in levels of 255", LATENT: "difference, in % of the latent"}
DOES = {"solo": "itself alone: what the LoRA does with this group only",
        "ablate": "leaving it out: what is lost when the LoRA lacks this group only",
        "shapley": "Shapley's share: the mean of what it adds, over all orders of adding the groups"}
TABLE = 12  # groups that a table of all criteria has columns for


def report(effects: BlockEffects, value: str, settings: EffectSettings, notes: Sequence[str] = ()) -> str:
    """Markdown: which group does most, how sure that is, whether the parts make up the whole, and everything else; then
    notes."""
    left_out = what_counts.left_out(settings.rubric, settings.reference)
    return "\n\n".join([_lead(effects, value), _how(effects, settings), *left_out, *_notes(effects),
                        _sums(effects, value),
                        _table(effects, value), *_criteria(effects),
                        f"Criteria are in points of 100, placed among {tradition(settings.reference)}: a position in "
                        "that tradition, not beauty.", *filter(None, notes)])


def order(effects: BlockEffects, value: str) -> list[int]:
    """Groups from the largest effect, either way, to the smallest; those not measured last."""
    column = effects.attribution.by_group[:, effects.quantities.index(value)]
    return sorted(range(len(column)), key=lambda n: math.inf if math.isnan(column[n]) else -abs(column[n]))


def _lead(effects: BlockEffects, value: str) -> str:
    best, at = order(effects, value)[0], effects.quantities.index(value)
    if not np.nan_to_num(effects.attribution.by_group[:, at]).any():
        return f"**No group changes {value}.**"
    return (f"**{effects.grouped.names[best]} changes {value} most: "
            f"{_number(effects.attribution.by_group[best, at], effects.attribution.errors[best, at])}** "
            f"({UNITS.get(value, 'points of 100')}).")


def _number(value: float, error: float) -> str:
    if math.isnan(value):
        return "not measured"
    return f"{round(value, 2) + 0.0:+.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}")


def _how(effects: BlockEffects, settings: EffectSettings) -> str:
    values, plan, prompts = effects.attribution, effects.plan, settings.sampling.prompts
    what = f"Each of {plan.groups} groups, by {DOES[values.mode]}"
    over = "orders, for these pictures" if plan.orders and values.mode == "shapley" else "pictures"
    sure = (f"± is a standard error over {values.draws} {over}" if values.draws > 1 else
            "one picture, so nothing says how sure this is: raise seeds")
    return (f"{what}. {effects.drawn} pictures drawn, {prompts} prompt{'s' * (prompts > 1)} x {settings.seeds} "
            f"seed{'s' * (settings.seeds > 1)} from {settings.seed}; {sure}.")


def _notes(effects: BlockEffects) -> list[str]:
    asked, got, notes = effects.plan.mode, effects.attribution.mode, []
    if effects.cut:
        ended = "Cancelled" if effects.cut == CANCELLED else f"Ended ({effects.cut})"
        notes.append(f"{ended} after {effects.drawn} of {len(effects.plan.tasks())} pictures; this is what they say"
                     + (f" ({got} instead of {asked}, for which they do not suffice)." if asked != got else "."))
    if effects.uncounted:
        notes.append(f"In pictures this small {', '.join(effects.uncounted)} "
                     f"{'counts' if len(effects.uncounted) == 1 else 'count'} for nothing in the score; points are of "
                     "what was measured of it all the same.")
    unused, problems = effects.grouped.unused, sum(number < 0 for number in effects.grouped.members)
    left = [f"{unused} keys of the file that the model has no weight for (such as those of text encoders)"] * (
        unused > 0) + [f"{problems} weights that do not fit"] * (problems > 0)
    return [*notes, f"Not part of this: {' and '.join(left)}."] if left else notes


def _sums(effects: BlockEffects, value: str) -> str:
    """Whether the parts make up the whole."""
    at = effects.quantities.index(value)
    none, every = effects.ends[:, at]
    parts, whole = float(np.nansum(effects.attribution.by_group[:, at])), float(effects.attribution.whole[at])
    ends = f" ({none:.1f} without it, {every:.1f} with it)" if value not in (PIXELS, LATENT) else ""
    lead = f"The whole LoRA changes {value} by {whole:+.2f}{ends}"
    known = np.isfinite(effects.attribution.by_group[:, at])
    if not known.all():
        return (f"{lead}; {known.sum()} of {len(known)} groups were measured and together make {parts:+.2f}. What the "
                "others do was not measured.")
    lead, gap = f"{lead}; its groups together make {parts:+.2f}", abs(parts - whole)
    if effects.attribution.mode == "shapley":
        return f"{lead}, which is all of it (gap {gap:.1e})."
    return f"{lead}. The difference of {gap:.2f} is what groups do only together; shapley shares it out."


def _table(effects: BlockEffects, value: str) -> str:
    columns = list(dict.fromkeys([value, SCORE, PIXELS, LATENT]))
    places = [effects.quantities.index(name) for name in columns]
    rows = [f"| {effects.grouped.names[n]} | " + " | ".join(
        _number(effects.attribution.by_group[n, at], effects.attribution.errors[n, at]) for at in places) + " |"
        for n in order(effects, value)]
    return "\n".join([f"| group | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns), *rows])


def _criteria(effects: BlockEffects) -> list[str]:
    names = effects.grouped.names
    if len(names) > TABLE or len(effects.quantities) == 3:
        return []
    by_group = effects.attribution.by_group
    rows = [f"| {name} | " + " | ".join(_number(value, math.nan) for value in by_group[:, at]) + " |"
            for at, name in enumerate(effects.quantities) if at >= 3]
    return ["\n".join([f"| criterion | {' | '.join(names)} |", "|---|" + "---:|" * len(names), *rows])]


def data(effects: BlockEffects, value: str) -> str:
    """JSON: one row a group (for Chart: frame(rows=groups)), and the ends."""
    values, names = effects.attribution, effects.quantities
    rows = [{"name": group, "blocks": ",".join(effects.grouped.groups[n].selectors),
             "value": _plain(values.by_group[n, names.index(value)]),
             "error": _plain(values.errors[n, names.index(value)]),
             **{name: _plain(values.by_group[n, at]) for at, name in enumerate(names)}}
            for n, group in enumerate(effects.grouped.names)]
    every = {key: dict(zip(names, map(_plain, numbers), strict=True)) for key, numbers in
             (("whole", values.whole), ("sum", np.nansum(values.by_group, 0)))}
    return json.dumps([{"mode": values.mode, "value": value, "draws": values.draws, "pictures": effects.drawn,
                        "cancelled": effects.cut == CANCELLED, **every, "groups": rows}])


def _mode(effects: BlockEffects) -> str:
    return DOES[effects.attribution.mode].partition(":")[0]


def _plain(number: float) -> float | None:
    return None if math.isnan(number) else float(number)


def chart(effects: BlockEffects, value: str) -> Tensor:
    """IMAGE: bars of the chosen quantity, the largest first."""
    at, values = effects.quantities.index(value), effects.attribution
    parts = [Part(effects.grouped.names[n], _plain(values.by_group[n, at]), _plain(values.errors[n, at]))
             for n in order(effects, value)]
    whole, total = values.whole[at], float(np.nansum(values.by_group[:, at]))
    summed = "the groups" if np.isfinite(values.by_group[:, at]).all() else "the measured groups"
    foot = f"Whole LoRA {whole:+.3g}, sum of {summed} {total:+.3g}. " + (
        "Whiskers: two standard errors." if values.draws > 1 else "")
    words = Words(f"What each group of blocks does: {value}", f"{_mode(effects)}; "
                  f"{UNITS.get(value, 'points of 100')}", foot)
    return render(effect_bars(parts, words, LIGHT), LIGHT.paper)


def grid(effects: BlockEffects) -> Tensor:
    """IMAGE: every group by every quantity, and below them the whole LoRA."""
    rows = [(name, [_plain(value) for value in values])
            for name, values in zip(effects.grouped.names, effects.attribution.by_group, strict=True)]
    units = "pixels in levels of 255, latent in %, all else in points"
    words = Words("Which block does what", f"{_mode(effects)}; {units}",
                  "Blue raises, orange lowers; each column has its own scale.")
    whole = "the whole LoRA", [_plain(value) for value in effects.attribution.whole]
    return render(effect_grid(rows, effects.quantities, words, LIGHT, whole), LIGHT.paper)


def contact_sheet(effects: BlockEffects, value: str) -> Tensor:
    """IMAGE: the first sample without and with the LoRA, then with each group (or without it) and where it differs."""
    at, ablated = effects.quantities.index(value), effects.plan.mode == "ablate"
    ends = {False: ("without the LoRA", "with all of it"), True: ("with all of it", "without the LoRA")}[ablated]
    largest = max(float(each.difference.max()) for each in [effects.other, *filter(None, effects.shown)]) or 1.0
    blank = torch.tensor(LIGHT.paper) / 255 * torch.ones(1, 1, 3)
    cells = [Cell(_small(effects.base.picture), (ends[0], "base")), Cell(blank, ("", "")),  # rows hold pairs
             *_pair(effects.other, ends[1], _number(effects.attribution.whole[at], math.nan), largest)]
    names = effects.grouped.names
    for n, shown in enumerate(effects.shown):
        if shown:
            cells += _pair(shown, f"{'without' if ablated else 'only'} {names[n]}",
                           _number(effects.attribution.by_group[n, at], math.nan), largest)
    foot = f"Numbers: {value}, {_mode(effects)}. Heat: difference from the base, up to {255 * largest:.0f} of 255."
    return render(sheet(cells, LIGHT, foot), LIGHT.paper)


def _pair(shown: PictureChange, name: str, number: str, largest: float) -> list[Cell]:
    heat = ramp(shown.difference / largest)
    return [Cell(_small(shown.picture), (name, number)), Cell(_small(heat[None]), ("difference", ""))]


def _small(picture: Tensor) -> Tensor:
    return thumbnail(picture.to(torch.float32))
