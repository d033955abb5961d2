"""What a saved LoRA says about itself: the metadata of its sources, and how it was made of them."""
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from ...shared.text_syntax import printable, shorten
from ..block_weights.block_language import NAMED, Settings
from ..file.lora_files import LoraFile
from ..file.peft_format import HEADER
from ..patches.combine import SUM, Combination

# Hashes and thumbnails of another file, and PEFT's settings for its factors: ours carry their scale themselves.
THUMBNAIL = "modelspec.thumbnail"
NOT_CARRIED = (HEADER, "sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256", THUMBNAIL)
FRESH = ("ss_network_dim", "ss_network_alpha", "ss_output_name", "bottega.recipe")    # facts of the file that is made

ADDED = Combination()


class Source(NamedTuple):
    """A LoRA that goes into a file: its label, tensors, strengths, block weights as text, and how they are read."""
    label: str
    lora: LoraFile
    strength_model: float
    strength_clip: float
    blocks: str
    settings: Settings = NAMED


def read_metadata(text: str) -> dict[str, str]:
    """The input metadata: a JSON object, or nothing. Values other than text are written as JSON. Raises ValueError."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("metadata: expected a JSON object, got one that is nested too deeply to be read.") from None
    except ValueError as error:
        raise ValueError('metadata: expected a JSON object such as {"modelspec.author": "me"}, '
                         f"got text that is none ({error}).") from None
    if not isinstance(found, dict):
        raise ValueError(f"metadata: expected a JSON object, got {type(found).__name__}.")
    written = {key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
               for key, value in found.items()}
    if odd := next((key for key, value in written.items() if printable(key + value) != key + value), None):
        raise ValueError(f'metadata: "{shorten(odd)}" holds half of a character (a lone surrogate), which no file can '
                         "hold.")
    return written


def file_metadata(sources: Sequence[Source], title: str, style: str, rank: int, tensors: Mapping[str, Tensor],
           own: Mapping[str, str], how: Combination = ADDED) -> dict[str, str]:
    """ss_* and modelspec of the sources where they agree, how the file was made, and what the user adds."""
    kinds = sorted({kind for kind in map(_rank_of, tensors.items()) if kind})
    joined = _how_as_json(how) if len(sources) > 1 else {}
    made = {
        "ss_network_dim": str(kinds[0]) if len(kinds) == 1 else "Dynamic",
        "ss_network_alpha": "Dynamic",
        "ss_output_name": title,
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": title,
        "modelspec.date": datetime.datetime.now().isoformat(timespec="seconds"),
        "bottega.recipe": json.dumps({
            "loras": [{"name": s.label, "strength_model": s.strength_model, "strength_clip": s.strength_clip,
                       "blocks": s.blocks} | ({} if s.settings == NAMED else s.settings._asdict()) for s in sources],
            "format": style, "rank": rank} | joined, ensure_ascii=False),
    }
    if len(sources) > 1:
        made["modelspec.merged_from"] = ", ".join(source.label for source in sources)
    return _agreed([source.lora.metadata for source in sources]) | made | {
        key: value for key, value in own.items() if key not in not_taken(own, sources)}


def not_taken(own: Mapping[str, str], sources: Sequence[Source]) -> list[str]:
    """The keys of the metadata a user adds that stay out: those of another file, such as what Inspect LoRA says of a
    source, and facts that the new file has of its own. A thumbnail that no source has is the user's."""
    old = [source.lora.metadata.get(THUMBNAIL) for source in sources]
    refused = [*FRESH, *(key for key in NOT_CARRIED if key != THUMBNAIL or own.get(key) in old)]
    return [key for key in own if key in refused]


def _how_as_json(how: Combination) -> dict:
    if how.method == SUM:
        return {}
    return {"combine": how.method, "density": how.density, "keep_size": how.keep_size}


def _agreed(all_metadata: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = all_metadata
    return {key: value for key, value in first.items()
            if key not in NOT_CARRIED and all(other.get(key) == value for other in others)}


def _rank_of(item: tuple[str, Tensor]) -> int | None:
    key, tensor = item
    return tensor.shape[0] if key.endswith((".lora_down.weight", "lora.down.weight", ".lora_A.weight")) else None
