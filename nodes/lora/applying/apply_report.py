"""What became of a LoRA, in Markdown: what was applied, what was left out and why, and the ratio of every block."""
import json
from collections.abc import Mapping, Sequence

from ...shared.text_syntax import shorten
from ..model.blocks import runs
from ..patches.adapter_parts import is_config
from .patching import ApplyResult, Change, Component

EXAMPLES = 5
ENCODER_NAMES = ("lora_te", "text_encoder", "lora_prior_te")


def report(name: str, result: ApplyResult) -> str:
    """The report of a LoRA file called name."""
    lines = [_headline(name, result), *result.notes]
    for component in result.components:
        lines += _blocks(component)
    lines += [f"- {line}" for component in result.components for line in left_out(component)]
    lines += [f"- {line}" for line in (*unreached(result), *unused(result))]
    return "\n".join(lines)


def stack_report(layers: Sequence[tuple]) -> str:
    """The reports of a stack, from (layer, its result)."""
    texts = [report(layer.name, result) for layer, result in layers]
    applied = sum(any(component.applied() for component in result.components) for _, result in layers)
    if not texts:
        return "The stack is empty: nothing is applied."
    return "\n\n".join([f"{len(texts)} LoRA{'s' * (len(texts) > 1)}, {applied} of them applied.", *texts])


def block_list(result: ApplyResult, energies: Mapping[str, float] = {}) -> str:
    """Every block in the model's order, as JSON: [{"block": "IN04", "in_file": true, "ratio": 0.5}].

    A block whose weights got several ratios has the one of the block as a whole. A known energy is added."""
    listed = []
    for component in result.components:
        inside = {}
        for change in component.changes:
            inside.setdefault(change.alias, set()).add(change.ratio)
        for alias, whole in component.ratios.items():
            got = inside.get(alias, set())
            ratio = next(iter(got)) if len(got) == 1 else whole
            energy = {"energy": energies[alias]} if alias in energies else {}
            listed.append({"block": alias, "in_file": bool(got), "ratio": ratio} | energy)
    return json.dumps(listed)


def _headline(name: str, result: ApplyResult) -> str:
    lost = sum(map(len, result.lost.values()))
    used = f"{result.keys - len(result.unused) - lost} of {result.keys} keys used"
    counts = [f"{sum(not is_config(change.patch) for change in component.applied())} weights of the {component.name}"
              for component in result.components]
    connected = "model or CLIP" if len(result.components) > 1 else "model, and no CLIP is connected"
    if nothing := why_nothing(result, connected):
        return f"{name}: {nothing}; {used}."
    return f"{name}: changes {' and '.join(counts)}; {used}."


def why_nothing(result: ApplyResult, connected: str = "model") -> str:
    """That nothing of a LoRA is applied, and why; "" where something is. connected: what it could be applied to."""
    if any(component.applied() for component in result.components):
        return ""
    changes = [change for component in result.components for change in component.changes]
    why = why_none(changes) if changes else f"no key of the file belongs to this {connected}"
    return f"nothing is applied, because {why}"


def why_none(changes: Sequence[Change]) -> str:
    """Why not one of these changes is applied: the distinct reasons, the first of them in words."""
    problems = list(dict.fromkeys(change.problem for change in changes if change.problem))
    muted = sum(not change.problem for change in changes)
    if not problems:
        return "its strength or the ratio of every block it has is 0"
    unfit = len(changes) - muted
    further = f", and {len(problems) - 1} more such reasons" if len(problems) > 1 else ""
    said = f"{unfit} weight{'s' * (unfit > 1)} cannot be changed ({problems[0]}{further})"
    return said + (f", and the strength or the ratio of the other {muted} is 0" if muted else "")


def _blocks(component: Component) -> list[str]:
    ratios = {}
    for change in component.changes:
        if change.alias:
            ratios.setdefault(change.alias, set()).add(change.ratio)
    inside = {a: "/".join(f"{ratio:g}" for ratio in sorted(ratios[a])) for a in component.aliases if a in ratios}
    absent = {alias: "" for alias in component.aliases if alias not in ratios}
    listed = "; ".join(f"{run}={ratio}" for run, ratio in runs(inside)) or "the LoRA has none of its blocks"
    lines = [f"{component.name}, strength {component.strength:g}: {listed}"]
    return lines + ([f"not in the LoRA: {', '.join(run for run, _ in runs(absent))}"] if absent and inside else [])


def left_out(component: Component) -> list[str]:
    muted = [change for change in component.changes if not change.problem and not change.ratio * component.strength]
    lines = [f"muted in the {component.name}: {_examples(muted)}"] if muted else []
    unsplit = [change for change in component.applied() if change.unsplit]
    if unsplit:
        lines.append(f"fused weights, which a selector for a part does not reach: {_examples(unsplit)}")
    reasons = {}
    for change in component.changes:
        if change.problem:
            reasons.setdefault(change.problem, []).append(change)
    return lines + [f"not applied, {reason}: {_examples(changes)}" for reason, changes in reasons.items()]


def _examples(changes: list[Change]) -> str:
    names = [c.target if isinstance(c.target, str) else f"{c.target[0]}{list(c.target[1] or ())}" for c in changes]
    return _count(names, "weight")


def _count(names: list[str], noun: str) -> str:
    return f"{len(names)} {noun}{'s' * (len(names) > 1)} ({_shown(names)})"


def _shown(names: Sequence[str]) -> str:
    return ", ".join([shorten(name) for name in names[:EXAMPLES]] + ["..."] * (len(names) > EXAMPLES))


def unreached(result: ApplyResult) -> list[str]:
    count = len(result.unreached)
    reach = "statement of blocks reaches" if count == 1 else "statements of blocks reach"
    return [f"{count} {reach} nothing that the LoRA changes: {_shown(result.unreached)}"] if count else []


def unused(result: ApplyResult) -> list[str]:
    """A line for each reason why keys of the file are not used."""
    without_clip = len(result.components) == 1
    reasons = {key: "no CLIP is connected" if key.startswith(ENCODER_NAMES) and without_clip else
               "no weight of this model answers to it" for key in result.unused} | result.reasons
    return not_used(result.lost, reasons)


def not_used(lost: Mapping[str, list[str]], reasons: Mapping[str, str]) -> list[str]:
    """lost: keys by the reason. reasons: the reason by key."""
    keys = {reason: list(found) for reason, found in lost.items()}
    for key, reason in reasons.items():
        keys.setdefault(reason, []).append(key)
    return [f"not applied, {reason}: {_count(found, 'key')}" for reason, found in keys.items()]
