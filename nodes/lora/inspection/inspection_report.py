"""What a LoRA is: its formats and ranks, what it was trained on, and how much it changes in every block."""
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import comfy.utils

from ...shared.text_syntax import shorten
from ..applying import apply_report
from ..applying.patching import ApplyResult, dry_run
from ..file.blocks_from_names import file_patches, file_places, tracked_patches, unread_keys
from ..file.file_metadata import metadata_facts
from ..file.loading import converted
from ..file.lora_files import LoraFile
from ..patches.adapter_parts import is_config, part
from ..patches.energy import Energy, block_energies, own_weight
from ..patches.peft_dora import PeftDora
from ..patches.shape_check import own_problem

FORMATS = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr", "glora": "GLoRA", "oft": "OFT", "boft": "BOFT",
           "PEFT's DoRA": "LoRA with PEFT's DoRA",
           "diff": "full difference", "set": "replaced weight", "config": "setting of ComfyUI"}
RANK = {"lora": ("down", 0), "loha": ("w1_b", 0), "oft": ("blocks", 1), "boft": ("blocks", 2)}  # part, dimension


class Inspection(NamedTuple):
    """patches: by the names of the file's modules, or by targets of the model. blocks: in the order of the model, or of
    the file; a block the LoRA has nothing for has no energy."""
    patches: Mapping[object, object]
    blocks: dict[str, Energy | None]
    result: ApplyResult | None
    unread: Sequence[str] = ()
    """Without a model: what the report says of the keys that are not read."""


def inspect(lora: LoraFile, model=None) -> Inspection:
    """Looks into a LoRA, and into what it means to a model where there is one.

    Norms of DoRA, GLoRA, OFT, BOFT and replaced weights need the model's own; without it they are unknown."""
    if model is None:
        tensors = converted(lora.tensors, lora.implied)
        patches = tracked_patches(tensors)
        places = file_places(patches)
        rows = [(places[name].alias if name in places else "?", patch, None) for name, patch in patches.items()]
        blocks = dict(sorted(_energies(rows).items(), key=_by_name))
        return Inspection(patches, blocks, None, apply_report.not_used(tensors.lost, unread_keys(tensors)))
    result = dry_run(model, None, lora, 1.0, 1.0, ())
    component = result.components[0]
    fits = [change for change in component.changes if not change.problem and not is_config(change.patch)]
    rows = [(c.alias, c.patch, lambda target=c.target: own_weight(model, target)) for c in fits]
    found, encoders = _energies(rows), _encoders(lora, (*result.unused, *lora.implied))
    blocks = {alias: found.get(alias) for alias in component.aliases} | dict(sorted(_energies(encoders).items()))
    whole = {c.target: c.patch for c in component.changes if not own_problem(c.patch)}
    patches = whole | {number: row[1] for number, row in enumerate(encoders)}
    return Inspection(patches, blocks, result)


def _energies(rows: Sequence[tuple]) -> dict[str, Energy]:
    """block_energies with a bar that shows how far it is and stops at Cancel."""
    bar = comfy.utils.ProgressBar(max(len(rows), 1))

    def counted():
        for row in rows:
            yield row
            bar.update(1)

    return block_energies(counted())


def _encoders(lora: LoraFile, keys: Iterable[str]) -> list[tuple]:
    patches = file_patches({key: lora.tensors[key] for key in keys
                            if key.startswith(apply_report.ENCODER_NAMES) and key in lora.tensors})
    return [(place.alias, patches[name], None) for name, place in file_places(patches).items()
            if place.alias.startswith("TE.")]


def _by_name(item: tuple[str, object]) -> tuple:
    """Families in the order a signal takes where that is known, and numbers as numbers."""
    stem = item[0].rstrip("0123456789")
    order = ["BASE", "IN", "MID", "OUT", "D", "J", "B", "L", "S"]
    return order.index(stem) if stem in order else len(order), stem, int(item[0][len(stem):] or -1)


def describe(name: str, lora: LoraFile, found: Inspection) -> str:
    """The inspection in words, Markdown."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in lora.tensors.values())
    types = ", ".join(sorted({str(t.dtype).removeprefix("torch.") for t in lora.tensors.values()})) or "empty"
    lines = [f"{name}: {len(lora.tensors) - len(lora.implied)} keys, {size / 1e6:.1f} MB, {types}."]
    lines += [f"- {line}" for line in _formats(found.patches.values())]
    lines += [f"- {label}: {text}" for label, text in metadata_facts(lora.metadata).items()]
    lines += [f"- {line}" for line in lora.notes]
    lines += _block_lines(found)
    lines += [f"- {line}" for line in _open_questions(found)]
    return "\n".join(lines)


def _formats(patches: Iterable) -> list[str]:
    """`LoRA on 264 weights, rank 16, alpha 8`, a line for each format."""
    groups = {}
    for patch in patches:
        groups.setdefault(_format(patch), []).append(patch)
    lines = []
    for label, members in groups.items():
        ranks = Counter(_rank(patch) for patch in members)
        alphas = Counter(_alpha(patch) for patch in members)
        lines.append(f"{label} on {len(members)} weight{'s' * (len(members) > 1)}" + _spread("rank", ranks)
                     + _spread("alpha", alphas))
    return lines or ["no adapter that ComfyUI knows"]


def _format(patch) -> str:
    if isinstance(patch, tuple):
        return FORMATS.get(patch[0], patch[0])
    label = FORMATS.get(patch.name, patch.name)
    down = part(patch, "down")
    if down is not None and down.ndim > 2 and down[0, 0].numel() > 1:
        label = "LoCon"
    return label + (" with DoRA" if part(patch, "dora_scale") is not None else "")


def _rank(patch) -> int | None:
    if isinstance(patch, PeftDora):
        return len(patch.down)
    name = getattr(patch, "name", "")
    if name == "glora":
        return min(part(patch, "b1").shape[:2])
    if name == "lokr":
        factor = next((part(patch, b) for w, b in (("w2", "w2_b"), ("w1", "w1_b")) if part(patch, w) is None), None)
        return None if factor is None else len(factor)
    return part(patch, RANK[name][0]).shape[RANK[name][1]] if name in RANK else None


def _alpha(patch) -> float | None:
    return patch.alpha if isinstance(patch, PeftDora) else part(patch, "alpha")


def _spread(label: str, values: Counter) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return ""
    return f", {label} {known[0]:g}" + (f" to {known[-1]:g}" if len(known) > 1 else "")


def _block_lines(found: Inspection) -> list[str]:
    model = [energy for alias, energy in found.blocks.items() if energy and not alias.startswith("TE.")]
    lines = [f"Norm of the whole change, text encoders aside: {_number(_together(model))}"] if model else []
    lines += ["Norm of the change in each block:"] if any(found.blocks.values()) else []
    for label, members in families(found.blocks).items():
        inside = [f"{short} {_number(energy)}" for short, energy in members if energy]
        lines += [f"- {label}: {', '.join(inside)}"] if inside else []
    return lines


def _together(parts: Sequence[Energy]) -> Energy:
    return Energy(math.hypot(*(energy.norm for energy in parts)), sum(energy.weights for energy in parts),
                  sum(energy.unknown for energy in parts))


def _number(energy: Energy) -> str:
    if energy.unknown == energy.weights:
        return "?"
    return f"{energy.norm:.3g}" + ("+?" if energy.unknown else "")


def families(blocks: Mapping[str, Energy | None]) -> dict[str, list[tuple[str, Energy | None]]]:
    """The blocks by family, each with its short name: {"IN": [("00", ...), ...], "BASE": [("img_in", ...)]}."""
    grouped = {}
    for alias, energy in blocks.items():
        stem = alias.rstrip("0123456789")
        label, short = (stem.rstrip("."), alias[len(stem):]) if stem != alias else alias.partition(".")[::2]
        if alias.startswith("TE.") and stem == alias:
            label, _, short = alias.rpartition(".")
        grouped.setdefault(label, []).append((short or label, energy))
    return grouped


def _open_questions(found: Inspection) -> list[str]:
    unknown = sum(energy.unknown for energy in found.blocks.values() if energy)
    lines = [f"not measured, because it depends on the model's own weights: {unknown} weight{'s' * (unknown > 1)}"
             ] if unknown else []
    if found.result is None:
        unread = found.blocks.get("?")
        lines += [f"blocks not told by their names: {unread.weights}"] if unread else []
        return [*lines, *found.unread, "read without a model: connect one to see the blocks it has and this LoRA has "
                                       "not, what would not fit, and the norms that depend on its weights"]
    absent = [alias for alias, energy in found.blocks.items() if energy is None]
    lines += [f"blocks of the model without a change: {shorten(', '.join(absent), 400)}"] if absent else []
    result = found.result
    told = [line for component in result.components for line in apply_report.left_out(component)]
    return lines + told + apply_report.unused(result)
