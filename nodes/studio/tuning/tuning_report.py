"""What tuning found: in words, as data, as the curve of the search, and in pictures before and after."""
import json
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...charts.chart_picture import picture as drawn
from ...charts.chart_types.contact_sheet import Cell, sheet, thumbnail
from ...charts.drawing.draw import render
from ...charts.drawing.theme import LIGHT
from ...critique.report import what_counts
from ...critique.report.critique_report import tradition
from ..cut_short import CANCELLED, told
from .block_tuning import Trial, TuningGoal, TuningResult

ROWS = 10  # of the contact sheet
KINDS = ("whole LoRA", "tried", "best so far")


def report(tuned: TuningResult, goal: TuningGoal, notes: Sequence[str] = ()) -> str:
    """Markdown: the weights, whether they are better where the search has not looked, and how it went; then notes."""
    spec = tuned.grouped.spec(tuned.kept)
    return "\n\n".join([_verdict(tuned), f"    {spec}", _goal(goal), *_held_out(tuned, goal), _search(tuned, goal),
                        _weights(tuned), *filter(None, notes)])


def _verdict(tuned: TuningResult) -> str:
    if not tuned.held_out:
        why = {CANCELLED: "Cancelled", "": "No held-out seeds"}.get(tuned.cut, f"Ended early ({tuned.cut})")
        gain = tuned.best.value - tuned.trials[0].value
        return (f"**{why}: the best of {len(tuned.trials)} weights on the seeds of the search is kept, {gain:+.2f} "
                "points over the whole LoRA there; it was not checked on other seeds.**")
    gain, error = tuned.held_out.gain
    said = _change(gain, error)
    if tuned.best.weights == tuned.trials[0].weights:
        return "**The search found nothing better than the whole LoRA. blocks leaves every group at 1.**"
    if tuned.kept != tuned.best.weights and tuned.kept == tuned.held_out.uniform.weights != tuned.trials[0].weights:
        level, error = tuned.held_out.over_ones(tuned.held_out.uniform)
        return (f"**One weight for all blocks, {tuned.kept[0]:g}, does at least as well as weights of their own: on "
                f"held-out seeds {_change(level, error)} points over the whole LoRA, tuned {said}. blocks gives every "
                f"group {tuned.kept[0]:g}.**")
    if gain <= 0:
        return (f"**Tuned is not better: on held-out seeds it is {said} points against the whole LoRA. blocks leaves "
                "every group at 1.**")
    unsure = ", one picture, which says nothing of chance: raise held_out to be sure" if math.isnan(error) else (
        ", which is within its error: raise held_out to be sure" if gain <= 2 * error else "")
    return f"**Tuned is better by {said} points than the whole LoRA on held-out seeds{unsure}.**"


def _change(gain: float, error: float) -> str:
    return f"{round(gain, 2) + 0.0:+.2f}" + ("" if math.isnan(error) else f" ± {error:.2f}")


def _goal(goal: TuningGoal) -> str:
    score = f"the score by {goal.rubric.title} among {tradition(goal.tradition)}"
    left_out = "".join(f" {each}" for each in what_counts.left_out(goal.rubric, goal.tradition))
    if not goal.likeness:
        return f"Wanted, 0 to 100: {score}.{left_out}"
    return (f"Wanted, 0 to 100: {1 - goal.closeness:.0%} {score}, {goal.closeness:.0%} how close it is to "
            f"{goal.likeness.name}.{left_out}")


def _held_out(tuned: TuningResult, goal: TuningGoal) -> list[str]:
    if not tuned.held_out:
        return []
    held_out = tuned.held_out
    rows = [("without the LoRA", held_out.zeros), ("the whole LoRA", held_out.ones),
            (f"one weight for all, {held_out.uniform.weights[0]:g}", held_out.uniform), ("tuned", held_out.tuned)]
    best = max(rows, key=lambda row: row[1].value)[0]
    lines = ["| held-out seeds | goal | score | likeness |", "|---|---:|---:|---:|",
             *(f"| {name} | " + " | ".join(_means(trial)) + " |" for name, trial in rows)]
    notes = ["By this goal the pictures are best without the LoRA."] if best == "without the LoRA" else []
    notes += _spoiled(held_out.spoiled)
    if len(held_out.pictures) < len(goal.held_out_samples):
        notes.append(told(tuned.cut, len(held_out.pictures), len(goal.held_out_samples), "held-out pictures",
                          "compared"))
    return ["\n".join(lines), *notes]


def _spoiled(reasons: list[str]) -> list[str]:
    """A sentence where tuned pictures look spoiled in light and colour; it decides nothing."""
    found = [(number, why) for number, why in enumerate(reasons, 1) if why]
    if not found:
        return []
    told = "; ".join(f"{number}: {why}" for number, why in found[:ROWS])
    return [f"**{len(found)} of {len(reasons)} tuned pictures look spoiled in light and colour** beside those of the "
            f"whole LoRA ({told}); the sheet marks them. Look at them before you keep these weights."]


def _means(trial: Trial) -> list[str]:
    return ["-" if math.isnan(mean) else f"{mean:.2f}" for mean in trial.marks.mean(0)]


def _search(tuned: TuningResult, goal: TuningGoal) -> str:
    first, best = tuned.trials[0].value, tuned.best.value
    samples, prompts = len(goal.search_samples), goal.sampling.prompts
    return (f"{tuned.method}: {len(tuned.trials)} sets of weights tried on {samples} picture{'s' * (samples > 1)} each "
            f"({prompts} prompt{'s' * (prompts > 1)} x {goal.seeds} seed{'s' * (goal.seeds > 1)} from {goal.seed}), "
            f"from {first:.2f} to {best:.2f}; it ended because {tuned.ended}." + _one_number(tuned))


def _one_number(tuned: TuningResult) -> str:
    """What a single strength for the whole LoRA would have given."""
    levels = sorted({trial.weights[0]: trial.value for trial in tuned.trials if len(set(trial.weights)) == 1}.items())
    return " One weight for all blocks: " + ", ".join(f"{value:.2f} at {level:g}" for level, value in levels) + "."


def _weights(tuned: TuningResult) -> str:
    rows = [f"| {name} | {best:g} | {kept:g} |" for name, best, kept in
            zip(tuned.grouped.names, tuned.best.weights, tuned.kept, strict=True)]
    return "\n".join(["| group | best of the search | in blocks |", "|---|---:|---:|", *rows])


def data(tuned: TuningResult, goal: TuningGoal) -> str:
    """JSON: the weights, the held-out figures, and a row for each evaluation (Chart: frame(rows=trials))."""
    rows = [{"evaluation": number, "goal": trial.value, "score": float(trial.marks[:, 1].mean()),
             "likeness": _known(trial.marks[:, 2].mean()), "weights": list(trial.weights)}
            for number, trial in enumerate(tuned.trials, 1)]
    held_out = tuned.held_out and {
        name: {"goal": trial.value, "score": float(trial.marks[:, 1].mean()),
               "likeness": _known(trial.marks[:, 2].mean()), "goals": trial.marks[:, 0].tolist()}
        for name, trial in (("zeros", tuned.held_out.zeros), ("ones", tuned.held_out.ones),
                            ("level", tuned.held_out.uniform), ("tuned", tuned.held_out.tuned))}
    return json.dumps([{
        "blocks": tuned.grouped.spec(tuned.kept), "groups": tuned.grouped.names, "kept": list(tuned.kept),
        "best": list(tuned.best.weights), "method": tuned.method, "ended": tuned.ended,
        "cancelled": tuned.cut == CANCELLED, "closeness": goal.closeness if goal.likeness else 0.0,
        "held_out": held_out, "spoiled": tuned.held_out and tuned.held_out.spoiled,
        "gain": tuned.held_out and [_known(number) for number in tuned.held_out.gain], "trials": rows}])


def _known(number: float) -> float | None:
    return None if math.isnan(number) else float(number)


def chart(tuned: TuningResult) -> Tensor:
    """IMAGE: the goal of each evaluation, the best so far, and the whole LoRA."""
    values = [trial.value for trial in tuned.trials]
    rows, best = [], -math.inf
    for number, value in enumerate(values, 1):
        best = max(best, value)
        rows.append({"evaluation": number, "goal": value, "best": best, "first": values[0]})
    spec = ('frame(title="Goal of each evaluation; line: the best so far, grey: the whole LoRA", legend=false); '
            "scatter(x=evaluation, y=first) . line(stroke=muted, stroke_width=2); "
            "scatter(x=evaluation, y=best) . line(stroke=gain); "
            "scatter(x=evaluation, y=goal) . circle(r=5, fill=loss)")
    return drawn(json.dumps(rows), spec, 960, 480, "light")


def contact_sheet(tuned: TuningResult) -> Tensor:
    """IMAGE: each held-out sample without the LoRA, with the whole of it, and tuned; a line of words without them."""
    if not tuned.held_out:
        blank = torch.tensor(LIGHT.paper) / 255 * torch.ones(1, 1, 3)
        return render(sheet([Cell(blank, ("no held-out", "pictures"))], LIGHT), LIGHT.paper)
    held_out, cells = tuned.held_out, []
    names = ("without the LoRA", "whole LoRA", "tuned")
    trials = (held_out.zeros, held_out.ones, held_out.tuned)
    for sample, pictures in enumerate(held_out.pictures[:2 * ROWS]):
        marks = [trial.marks[sample, 0] for trial in trials]
        cells += [Cell(thumbnail(picture), (name, f"{mark:.1f}"), LIGHT.gain if mark == max(marks) else None)
                  for picture, name, mark in zip(pictures, names, marks, strict=True)]
        if held_out.spoiled[sample]:
            cells[-1] = cells[-1]._replace(lines=(*cells[-1].lines, "looks spoiled"), frame=LIGHT.loss)
    rest = len(held_out.pictures) - 2 * ROWS
    return render(sheet(cells, LIGHT, f"and {rest} more" if rest > 0 else "", len(names)), LIGHT.paper)
