"""What a LoRA is: its formats and ranks, what it was trained on, and how much it changes in every block."""
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import comfy.utils

from ..applying import report
from ..applying.patching import Outcome, examine
from ..block_weights.language import shorten
from ..file.contents import file_patches, file_places
from ..file.files import LoraFile
from ..patches.energy import Energy, block_energies, own_weight

FORMATS = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr", "glora": "GLoRA", "oft": "OFT", "boft": "BOFT",
           "diff": "full difference", "set": "replaced weight"}
RANK = {"lora": lambda w: w[1].shape[0], "loha": lambda w: w[1].shape[0], "glora": lambda w: min(w[2].shape[:2]),
        "lokr": lambda w: w[6].shape[0] if w[1] is None else w[4].shape[0] if w[0] is None else None,
        "oft": lambda w: w[0].shape[1], "boft": lambda w: w[0].shape[2]}
ALPHA = {"lora": 2, "loha": 2, "lokr": 2, "glora": 4, "oft": 2, "boft": 2}
DORA = {"lora": 4, "loha": 7, "lokr": 8, "glora": 5, "oft": 3, "boft": 3}
FACTS = {"base model": ("ss_base_model_version", "ss_sd_model_name", "modelspec.architecture"),
         "title": ("modelspec.title", "ss_output_name"), "trained with": ("ss_network_module",),
         "steps": ("ss_steps",), "pictures": ("ss_num_train_images",), "learning rate": ("ss_learning_rate",),
         "trigger words": ("modelspec.trigger_phrase", "modelspec.usage_hint"), "author": ("modelspec.author",),
         "description": ("modelspec.description", "ss_training_comment")}
WORDS = 20


class Inspection(NamedTuple):
    """patches: by the names of the file's modules, or by targets of the model. blocks: in the order of the model, or of
    the file; a block the LoRA has nothing for has no energy."""
    patches: Mapping[object, object]
    blocks: dict[str, Energy | None]
    outcome: Outcome | None


def inspect(lora: LoraFile, model=None) -> Inspection:
    """Looks into a LoRA, and into what it means to a model where there is one.

    Norms of DoRA, GLoRA, OFT, BOFT and replaced weights need the model's own; without it they are unknown."""
    if model is None:
        patches = file_patches(lora.tensors)
        places = file_places(patches)
        rows = [(places[name].alias if name in places else "?", patch, None) for name, patch in patches.items()]
        return Inspection(patches, dict(sorted(_energies(rows).items(), key=_by_name)), None)
    outcome = examine(model, None, lora, 1.0, 1.0, ())
    side = outcome.sides[0]
    fits = [change for change in side.changes if not change.problem]
    rows = [(c.alias, c.patch, lambda target=c.target: own_weight(model, target)) for c in fits]
    found, encoders = _energies(rows), _encoders(lora, outcome.unused)
    blocks = {alias: found.get(alias) for alias in side.aliases} | dict(sorted(_energies(encoders).items()))
    patches = {c.target: c.patch for c in side.changes} | {number: row[1] for number, row in enumerate(encoders)}
    return Inspection(patches, blocks, outcome)


def _energies(rows: Sequence[tuple]) -> dict[str, Energy]:
    """block_energies with a bar that shows how far it is and stops at Cancel."""
    bar = comfy.utils.ProgressBar(max(len(rows), 1))

    def counted():
        for row in rows:
            yield row
            bar.update(1)

    return block_energies(counted())


def _encoders(lora: LoraFile, unused: Iterable[str]) -> list[tuple]:
    patches = file_patches({key: lora.tensors[key] for key in unused if key in lora.tensors})
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
    lines = [f"{name}: {len(lora.tensors)} keys, {size / 1e6:.1f} MB, {types}."]
    lines += [f"- {line}" for line in _formats(found.patches.values())]
    lines += [f"- {label}: {text}" for label, text in facts(lora.metadata).items()]
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
    if patch.name == "lora" and (patch.weights[1].ndim > 2 and patch.weights[1][0, 0].numel() > 1):
        label = "LoCon"
    return label + (" with DoRA" if patch.name in DORA and patch.weights[DORA[patch.name]] is not None else "")


def _rank(patch) -> int | None:
    return None if isinstance(patch, tuple) or patch.name not in RANK else RANK[patch.name](patch.weights)


def _alpha(patch) -> float | None:
    return None if isinstance(patch, tuple) or patch.name not in ALPHA else patch.weights[ALPHA[patch.name]]


def _spread(label: str, values: Counter) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return ""
    return f", {label} {known[0]:g}" + (f" to {known[-1]:g}" if len(known) > 1 else "")


def facts(metadata: Mapping[str, str]) -> dict[str, str]:
    """What the metadata says that a person would ask: base model, title, steps, most frequent words."""
    found = {}
    for label, keys in FACTS.items():
        said = dict.fromkeys(str(metadata[key]) for key in keys if metadata.get(key) not in (None, "", "None"))
        if said:
            found[label] = shorten(", ".join(said), 300)
    if words := trained_words(metadata):
        shown = ", ".join(f"{word} ({count})" for word, count in words.most_common(WORDS))
        found["words in its captions"] = shown + (f" and {len(words) - WORDS} more" if len(words) > WORDS else "")
    return found


def trained_words(metadata: Mapping[str, str]) -> Counter:
    """The words of ss_tag_frequency over all folders; empty where it is missing or cannot be read."""
    try:
        folders = json.loads(metadata.get("ss_tag_frequency", "{}"))
        return sum((Counter({str(word).strip(): int(n) for word, n in words.items()}) for words in folders.values()),
                   Counter())
    except (ValueError, TypeError, AttributeError):
        return Counter()


def _block_lines(found: Inspection) -> list[str]:
    lines = ["Norm of the change in each block:"] if any(found.blocks.values()) else []
    for label, members in families(found.blocks).items():
        inside = [f"{short} {_number(energy)}" for short, energy in members if energy]
        lines += [f"- {label}: {', '.join(inside)}"] if inside else []
    return lines


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
    if found.outcome is None:
        unread = found.blocks.get("?")
        lines += [f"blocks not told by their names: {unread.weights}"] if unread else []
        return [*lines, "read without a model: connect one to see the blocks it has and this LoRA has not, what would "
                        "not fit, and the norms that depend on its weights"]
    absent = [alias for alias, energy in found.blocks.items() if energy is None]
    lines += [f"blocks of the model without a change: {shorten(', '.join(absent), 400)}"] if absent else []
    outcome = found.outcome
    told = [line for side in outcome.sides for line in report.left_out(side)]
    return lines + told + report.unused(outcome)


def metadata_text(metadata: Mapping[str, str]) -> str:
    """The metadata as JSON, which Save LoRA takes back."""
    return json.dumps(dict(metadata), indent=2, ensure_ascii=False, sort_keys=True)
