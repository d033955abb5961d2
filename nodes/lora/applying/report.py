"""What became of a LoRA, in Markdown: what was applied, what was left out and why, and the ratio of every block."""
import json
from collections.abc import Mapping, Sequence

from ..block_weights.language import shorten
from ..model.blocks import runs
from .patching import Change, Outcome, Side

EXAMPLES = 5
ENCODER_NAMES = ("lora_te", "text_encoder", "lora_prior_te")


def report(name: str, outcome: Outcome) -> str:
    """The report of a LoRA file called name."""
    lines = [_headline(name, outcome), *outcome.notes]
    for side in outcome.sides:
        lines += _blocks(side)
    lines += [f"- {line}" for side in outcome.sides for line in left_out(side)]
    lines += [f"- not applied, {reason}: {_count(keys, 'key')}" for reason, keys in outcome.lost.items()]
    lines += [f"- {line}" for line in unused(outcome)]
    return "\n".join(lines)


def stack_report(layers: Sequence[tuple]) -> str:
    """The reports of a stack, from (layer, its outcome)."""
    texts = [report(layer.name, outcome) for layer, outcome in layers]
    applied = sum(any(side.applied() for side in outcome.sides) for _, outcome in layers)
    if not texts:
        return "The stack is empty: nothing is applied."
    return "\n\n".join([f"{len(texts)} LoRA{'s' * (len(texts) > 1)}, {applied} of them applied.", *texts])


def block_list(outcome: Outcome, energies: Mapping[str, float] = {}) -> str:
    """Every block in the model's order, as JSON: [{"block": "IN04", "in_file": true, "ratio": 0.5}].

    A block whose weights got several ratios has the one of the block as a whole. A known energy is added."""
    listed = []
    for side in outcome.sides:
        inside = {}
        for change in side.changes:
            inside.setdefault(change.alias, set()).add(change.ratio)
        for alias, whole in side.ratios.items():
            got = inside.get(alias, set())
            ratio = next(iter(got)) if len(got) == 1 else whole
            energy = {"energy": energies[alias]} if alias in energies else {}
            listed.append({"block": alias, "in_file": bool(got), "ratio": ratio} | energy)
    return json.dumps(listed)


def _headline(name: str, outcome: Outcome) -> str:
    used = f"{outcome.keys - len(outcome.unused)} of {outcome.keys} keys used"
    counts = [f"{len(side.applied())} weights of the {side.name}" for side in outcome.sides]
    if any(side.applied() for side in outcome.sides):
        return f"{name}: changes {' and '.join(counts)}; {used}."
    return f"{name}: nothing is applied, because {_why_nothing(outcome)}; {used}."


def _why_nothing(outcome: Outcome) -> str:
    changes = [(side, change) for side in outcome.sides for change in side.changes]
    if not changes:
        connected = "model or CLIP" if len(outcome.sides) > 1 else "model, and no CLIP is connected"
        return f"no key of the file belongs to this {connected}"
    if all(change.problem for _, change in changes):
        return "no weight in it has the shape of this model's"
    return "its strength or the ratio of every block it has is 0"


def _blocks(side: Side) -> list[str]:
    ratios = {}
    for change in side.changes:
        if change.alias:
            ratios.setdefault(change.alias, set()).add(change.ratio)
    inside = {a: "/".join(f"{ratio:g}" for ratio in sorted(ratios[a])) for a in side.aliases if a in ratios}
    absent = {alias: "" for alias in side.aliases if alias not in ratios}
    lines = [f"{side.name}, strength {side.strength:g}: " + "; ".join(f"{run}={ratio}" for run, ratio in runs(inside))]
    if not inside:
        lines = [f"{side.name}, strength {side.strength:g}: the LoRA has none of its blocks"]
    return lines + ([f"not in the LoRA: {', '.join(run for run, _ in runs(absent))}"] if absent and inside else [])


def left_out(side: Side) -> list[str]:
    muted = [change for change in side.changes if not change.problem and not change.ratio * side.strength]
    lines = [f"muted in the {side.name}: {_examples(muted)}"] if muted else []
    unsplit = [change for change in side.applied() if change.unsplit]
    if unsplit:
        lines.append(f"fused weights, which a selector for a part does not reach: {_examples(unsplit)}")
    reasons = {}
    for change in side.changes:
        if change.problem:
            reasons.setdefault(change.problem, []).append(change)
    return lines + [f"not applied, {reason}: {_examples(changes)}" for reason, changes in reasons.items()]


def _examples(changes: list[Change]) -> str:
    names = [c.target if isinstance(c.target, str) else f"{c.target[0]}{list(c.target[1] or ())}" for c in changes]
    return _count(names, "weight")


def _count(names: list[str], noun: str) -> str:
    shown = [shorten(name) for name in names[:EXAMPLES]] + ["..."] * (len(names) > EXAMPLES)
    return f"{len(names)} {noun}{'s' * (len(names) > 1)} ({', '.join(shown)})"


def unused(outcome: Outcome) -> list[str]:
    encoder = [key for key in outcome.unused if key.startswith(ENCODER_NAMES) and len(outcome.sides) == 1]
    other = [key for key in outcome.unused if key not in set(encoder)]
    lines = [f"not applied, no CLIP is connected: {_count(encoder, 'key')}"] if encoder else []
    return lines + ([f"not applied, no weight of this model answers to it: {_count(other, 'key')}"] if other else [])
