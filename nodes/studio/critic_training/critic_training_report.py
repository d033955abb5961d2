"""What a training with the critic reached, in Markdown and as pictures before and after."""
import statistics

import torch

from ...charts.chart_types.contact_sheet import Cell, sheet, thumbnail
from ...charts.drawing.draw import render
from ...charts.drawing.theme import LIGHT
from ...training.disk.checkpoint import shown
from ..cut_short import CANCELLED, told
from .before_after import diversity, mean_change
from .critic_training_run import CriticTrainingRequest, CriticTrainingResult

MOST = 30   # pairs on the sheet
WARNING = "A measure that is trained for no longer says how good a picture is: judge by what was not, and by eye."


def report(run: CriticTrainingResult, request: CriticTrainingRequest) -> str:
    session, goal, settings = run.session, request.goal, request.settings
    parts = [
        f"{summary(run)}**{_counted(session.step, 'step')} of {_counted(settings.batch_size, 'picture')}** on "
        f"{_counted(len(session.samples), 'prompt')}, {session.seconds / max(1, session.step):.3g} s a step",
        "\n".join([
            f"- Way: {goal.method}" + (f", K = {goal.last_steps}" if goal.method.startswith("DRaFT") else "")
            + f"; pictures seen through {goal.decoder.name}",
            *_losses(session, goal),
            f"- Distance from the start: {_distance(session)}{_moved(session)}",
            f"- Trained: {len(session.adapters.layers)} layers, {session.adapters.flat.numel():,} parameters, rate "
            f"{session.settings.learning_rate:.3g}",
            f"- File: {shown(run.path)}",
            f"- For resume: {run.run}",
            *(f"- {note}" for note in [*session.notes, *session.memory.notes, *session.dataset.notes])]),
        f"Rewarded:\n{goal.reward}",
    ]
    if goal.reward.left_out:
        parts.append("Not rewarded:\n" + "\n".join(f"* {why}" for why in goal.reward.left_out))
    return "\n\n".join([*parts, *_before_and_after(run, request)])


def summary(run: CriticTrainingResult) -> str:
    """What it came to in a few words; empty where nothing was measured again."""
    held = _pairs(run, True) or _pairs(run, False)
    if not held:
        return ""
    before, after = zip(*held, strict=True)
    return (f"**Reward of {'held-out' if held[0][0].held else 'the'} pictures: {_mean(before, 'points')} before, "
            f"{_mean(after, 'points')} after**, by ")


def _losses(session, goal):
    if not session.losses:
        return []
    tenth = max(1, session.step // 10)
    first, last = (statistics.mean(part) for part in (session.losses[:tenth], session.losses[-tenth:]))
    return [f"- Loss: {first:.4f} at the start, {last:.4f} at the end (1 - reward / 100 + {goal.penalty:g} x distance, "
            f"means of {_counted(tenth, 'step')})"]


def _before_and_after(run, request):
    if not run.after:
        why = {CANCELLED: ", because it was cancelled"}.get(run.cut, f": {run.cut}") if run.before else ""
        return [f"Not measured after the training{why}."]
    notes = [] if len(run.after) == len(run.before) else [
        told(run.cut, len(run.after), len(run.before), "pictures", "judged once more")]
    rows = ["| pictures | number | reward before | after | score before | after |", "|---|---:|---:|---:|---:|---:|"]
    for name, held in (("trained on", False), ("held out", True)):
        pairs = _pairs(run, held)
        if not pairs:
            continue
        before, after = zip(*pairs, strict=True)
        rows.append(f"| {name} | {len(pairs)} | {_mean(before, 'points')} | {_mean(after, 'points')} | "
                    f"{_mean(before, 'score')} | {_mean(after, 'score')} |")
    held = _pairs(run, True)
    return [*notes, "\n".join(rows), *(_rest(held, request) if held else []), WARNING]


def _rest(pairs, request):
    """What became of everything else in the held-out pictures."""
    before, after = zip(*pairs, strict=True)
    was, now = ([each.whole.score for each in side] for side in (before, after))
    pictures = [[each.picture for each in side] for side in (before, after)]
    several = (f"the variety of the pictures (mean difference of two, 0..1) from {diversity(pictures[0]):.3f} to "
               f"{diversity(pictures[1]):.3f}; " if len(pairs) > 1 else "")
    alone = "" if several else " A single picture has no spread (sd) to set a change against: raise seeds."
    lines = [
        f"Held out, not aimed at: the score under the default rubric went from {statistics.mean(was):.1f} to "
        f"{statistics.mean(now):.1f}; {several}a picture differs from what it was by {mean_change(*pictures):.3f} "
        f"(0..1).{alone}"]
    rewarded = {each.criterion.id for each in request.goal.reward.criteria}
    rows = ["| criterion | rewarded | position before | after | change in sd |", "|---|---|---:|---:|---:|"]
    for number, verdict in enumerate(before[0].whole.verdicts):
        old, new = ([each.whole.verdicts[number].position for each in side] for side in (before, after))
        if any(value is None for value in (*old, *new)):
            continue
        spread, change = statistics.pstdev(old), statistics.mean(new) - statistics.mean(old)
        rows.append(f"| {verdict.criterion.name} | {'yes' if verdict.criterion.id in rewarded else ''} | "
                    f"{statistics.mean(old):.1f} | {statistics.mean(new):.1f} | "
                    f"{f'{change / spread:+.2f}' if spread > 1e-9 else ''} |")
    return [*lines, "\n".join(rows)]


def contact_sheet(run: CriticTrainingResult) -> torch.Tensor:
    """IMAGE of pictures before and after side by side with their scores, those held out first."""
    after = [*run.after, *[None] * (len(run.before) - len(run.after))]
    pairs = sorted(zip(run.before, after, strict=True), key=lambda pair: not pair[0].held)
    cells = [Cell(thumbnail(one.picture[..., :3]), (one.name, f"{when}: {one.score:.1f}"),
                  LIGHT.gain if when == "after" else None)
             for before, later in pairs[:MOST] for when, one in (("before", before), ("after", later)) if one]
    if not cells and run.session.seen is not None:      # nothing was measured: the last pictures of the training
        cells = [Cell(thumbnail(one[None].movedim(1, -1).cpu()), ("while training", "")) for one in run.session.seen]
    if not cells:
        return torch.ones(1, 64, 64, 3)
    rest = len(pairs) - MOST
    return render(sheet(cells, LIGHT, f"and {rest} more pairs" if rest > 0 else ""), LIGHT.paper)


def _pairs(run, held):
    return [pair for pair in zip(run.before, run.after, strict=False) if pair[0].held == held]


def _mean(side, name):
    return f"{statistics.mean(getattr(each, name) for each in side):.1f}"


def _distance(session):
    """Of the last step's pictures, where this run has made one."""
    return "" if session.seen is None else (
        f"{session.distance:.2g} (mean square of the predicted latents in the last step's pictures); ")


def _moved(session):
    """How far the weights went from where they started."""
    change, norm = (session.adapters.flat - session.start).norm().item(), session.start.norm().item()
    if not change and session.step:
        return "the weights did not move, as where a LoRA holds nothing but zeros"
    share = change / max(norm, 1e-12)
    return f"the weights moved by {f'{share:.1%}' if share < 10 else f'{share:.0f} times'} of their norm"


def _counted(number, what):
    return f"{number} {what}{'s' * (number != 1)}"
