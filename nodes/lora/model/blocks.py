"""Names for the blocks of any model, taken from the model's own state-dict keys.

A block is the first numbered element on a weight's module path that is more than a layer or two. It has a module path
(`double_blocks.7`) and a short alias (`D07`). What lies outside every block is `BASE.<first component>`; text encoders
are `TE.<encoder>.NN` and `TE.<encoder>.BASE`.
"""
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

MODEL_FAMILIES = {
    "input_blocks": "IN", "output_blocks": "OUT",
    "double_blocks": "D", "double_stream_blocks": "D", "double_layers": "D", "double_stream_layers": "D",
    "single_blocks": "S", "single_stream_blocks": "S", "single_layers": "S", "single_stream_layers": "S",
    "joint_blocks": "J",
    "blocks": "B", "transformer_blocks": "B", "visual_transformer_blocks": "B", "visual_blocks": "B",
    "layers": "L", "language_model.layers": "L", "decoder.layers": "L", "transformer.layers": "L",
    "noise_refiner": "NR", "context_refiner": "CR", "ref_image_refiner": "RR",
    "txt_in.individual_token_refiner.blocks": "TR",
    "vace_blocks": "VACE", "face_adapter.fuser_blocks": "FACE", "llm_adapter.blocks": "LLM",
    "distilled_guidance_layer.layers": "DG", "nerf_blocks": "NERF",
    "audio_embeddings_connector.transformer_1d_blocks": "AC", "video_embeddings_connector.transformer_1d_blocks": "VC",
    "txtfusion.layerwise_blocks": "TFL", "txtfusion.refiner_blocks": "TFR",
    "patch_blocks": "P", "pixel_blocks": "PX", "text_transformer_blocks": "TXT", "visual.blocks": "V",
    "video_text_transformer_blocks": "VTXT", "audio_text_transformer_blocks": "ATXT", "token_refiner.blocks": "TR",
    "lyric_encoder.encoders": "LYR",
    **{f"{way}_blocks.{level}": f"{way.upper()}{level}." for way in ("down", "up") for level in range(4)},
}
ENCODER_FAMILIES = {
    "transformer.text_model.encoder.layers": "", "transformer.encoder.block": "", "transformer.model.layers": "",
    "transformer.bert.encoder.layer": "",
    "transformer.visual.blocks": "V", "transformer.vision_model.encoder.layers": "V",
}
NOT_BLOCKS = {"projectors", "motion_encoder.enc.net_app.convs"}  # a few convolutions each, of ACE-Step and Wan-Animate
MODEL_PREFIX = "diffusion_model."
LEAVES_OF_A_BLOCK = 3
NUMBERED = re.compile(r"(?:block)?(\d+)")  # Cosmos names the elements of its list block0, block1, ...


class Place(NamedTuple):
    """Where a weight sits: alias and module path of its block, and the path from the block to the weight."""
    alias: str
    path: str
    rest: str


def model_places(keys: Iterable[str]) -> dict[str, Place]:
    """The place of every `diffusion_model.` key, in the model's order; other keys are left out."""
    paths = [key[len(MODEL_PREFIX):] for key in keys if key.startswith(MODEL_PREFIX)]
    block_of = _block_finder(paths, MODEL_FAMILIES)
    return {MODEL_PREFIX + path: block_of(path) or _base(path) for path in paths}


def encoder_places(keys: Iterable[str]) -> dict[str, Place]:
    """The place of every key of a CLIP's state dict; the first component of a key names its encoder."""
    encoders = {}
    for key in keys:
        encoder, _, path = key.partition(".")
        encoders.setdefault(encoder, {})[key] = path
    places = {}
    for encoder, paths in encoders.items():
        block_of = _block_finder(paths.values(), ENCODER_FAMILIES)
        for key, path in paths.items():
            alias, block, rest = block_of(path) or ("BASE", "", path)
            places[key] = Place(f"TE.{encoder}.{alias}", f"{encoder}.{block}".rstrip("."), rest)
    return places


def _base(path: str) -> Place:
    top, _, rest = path.partition(".")
    return Place("MID", top, rest) if top == "middle_block" else Place(f"BASE.{top}", top, rest)


def _block_finder(paths: Iterable[str], families: Mapping[str, str]) -> Callable[[str], Place | None]:
    """What tells the block of a weight; the weights of one module, of which there are several, share the search."""
    unknown = _containers_of_blocks(paths)
    owners = {}

    @cache
    def block_of_module(module: str) -> tuple[str, str] | None:
        elements = list(_numbered(module))
        found = [e for e in elements if e[0] in families] or [e for e in elements if e[0] in unknown]
        if not found or module.partition(".")[0] == "middle_block":
            return None
        container, element, number = found[0]
        family = families.get(container)
        if family is None or owners.setdefault(family, container) != container:
            alias = f"{container}.{number}"  # nobody named this family, or another list of this model has its letter
        else:
            alias = f"{family}{number:02d}"
        return alias, f"{container}.{element}"

    def block_of(path: str) -> Place | None:
        found = block_of_module(path.rpartition(".")[0])
        return found and Place(*found, path[len(found[1]) + 1:])

    return block_of


def _numbered(module: str) -> Iterator[tuple[str, str, int]]:
    """The numbered modules on the path of a module, outermost first: (container, element, number)."""
    parts = module.split(".")
    for i in range(1, len(parts)):
        if parts[i][-1:].isdigit() and (match := NUMBERED.fullmatch(parts[i])):
            yield ".".join(parts[:i]), parts[i], int(match[1])


def _containers_of_blocks(paths: Iterable[str]) -> set[str]:
    """The numbered containers with an element of at least LEAVES_OF_A_BLOCK modules that hold weights."""
    leaves = {}
    for module in {path.rpartition(".")[0] for path in paths}:
        for container, element, _ in _numbered(module):
            leaves[container, element] = leaves.get((container, element), 0) + 1
    return {container for (container, _), count in leaves.items() if count >= LEAVES_OF_A_BLOCK} - NOT_BLOCKS


def runs(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """Joins neighbours of one family with equal labels: {D00: 1, D01: 1, MID: 0} -> [(D00-D01, 1), (MID, 0)]."""
    joined = []
    for alias, label in labels.items():
        stem, number = _stem_and_number(alias)
        if joined and joined[-1][2:] == (label, stem, number - 1):
            joined[-1] = (joined[-1][0], alias, label, stem, number)
        else:
            joined.append((alias, alias, label, stem, number))
    return [(first if first == last else f"{first}-{last}", label) for first, last, label, *_ in joined]


def expand(joined: str) -> Iterator[str]:
    """The aliases of "D00-D01 MID", the inverse of runs: a word without a range stands for itself."""
    for word in joined.split():
        first, _, last = word.partition("-")
        if not last:
            yield first
            continue
        stem, start = _stem_and_number(first)
        digits = len(first) - len(stem)
        yield from (f"{stem}{number:0{digits}d}" for number in range(start, _stem_and_number(last)[1] + 1))


def _stem_and_number(alias: str) -> tuple[str, int]:
    stem = alias.rstrip("0123456789")
    return stem, int(alias[len(stem):] or -1)
