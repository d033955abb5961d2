"""What a LoRA holds, read without a model: its patches, and the blocks that its names mean.

Names of an architecture that the pack has a table of are read by architecture_detection.py. For any other model names
of the host and of kohya's trainers still spell out module paths; those of diffusers are translated where every model
agrees on them.
"""
import re
from collections.abc import Iterable, Mapping
from functools import cache

from comfy import weight_adapter
from torch import Tensor

from ..model.blocks import ENCODER_FAMILIES, MODEL_FAMILIES, MODEL_PREFIX, Place, model_places
from ..patches.adapter_parts import part
from ..patches.peft_dora import PeftDora
from ..patches.shape_check import own_problem
from . import architecture_detection as detection
from .key_endings import HALF, module_of, unknown_endings
from .loading import BIASES, TrackedTensors, converted, host_patches, unread_reasons

UNET = re.compile(r"(down|up)_blocks[._](\d+)[._](resnets|attentions|downsamplers|upsamplers)[._](\d+)[._](.+)")
ROOTS = re.compile(r"(diffusion_model\.|transformer\.|unet\.|base_model\.model\.|lora_unet_|lora_prior_unet_"
                   r"|lora_transformer_|lycoris_)+")
ENCODER_ROOTS = re.compile(r"(text_encoders\.(?P<name>\w+)|text_encoder(?P<number>_\d)?|lora_(prior_)?te(?P<kohya>\d?))"
                           r"[._](?P<path>.+)")


def file_patches(tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """The patches of a LoRA as the host reads them, each under the name that the file gives its module.

    Without those whose parts do not fit together, and without halves of adapters."""
    return tracked_patches(converted(tensors))


def tracked_patches(tensors: TrackedTensors) -> dict[str, object]:
    """file_patches of converted tensors, which remember what was read of them."""
    patches = _whole_patches(tensors, [(name, f"{name}.weight") for name in module_names(tensors)])
    for target in list(patches):
        if problem := own_problem(patches[target]):
            del patches[target]
            own = tensors.of(target.removesuffix(".weight"))
            tensors.lose(problem, (key for key in own if not key.endswith(BIASES)))
    return patches


def _whole_patches(tensors: TrackedTensors, names: list[tuple[str, str]]) -> dict[str, object]:
    """host_patches, where the loader is asked in halves until it is known which modules are half an adapter."""
    read = set(tensors.read)
    try:
        return host_patches(tensors, dict(names))
    except ValueError:
        tensors.read = read
    if len(names) < 2:
        tensors.lose(HALF, (key for name, _ in names for key in tensors.of(name)))
        return {}
    middle = len(names) // 2
    return _whole_patches(tensors, names[:middle]) | _whole_patches(tensors, names[middle:])


def unread_keys(tensors: TrackedTensors) -> dict[str, str]:
    """Why tracked_patches left tensors, by key."""
    found = unread_reasons(tensors, set(module_names(tensors)))
    return found | unknown_endings(key for key in tensors.unread() if key not in found)


def module_names(keys: Iterable[str]) -> list[str]:
    """The names of the modules that the keys of a LoRA speak of, in the order of the file."""
    return [name for name in dict.fromkeys(map(module_of, keys)) if name]


def file_places(patches: Mapping[str, object]) -> dict[str, Place]:
    """The place that each name of a module, with or without `.weight`, means or spells out; others are left out.

    patches: what file_patches gives; the widths of patches tell models apart whose modules have the same names."""
    modules = {name: re.sub(r"\.(weight|bias)$", "", name) for name in patches}
    reading = detection.read({modules[name]: width(patch) for name, patch in patches.items()})
    flux = any("single_transformer_blocks" in name for name in patches)
    found = {}
    for name, module in modules.items():
        spelled, alias = _encoder(name) or _model(name, flux), reading.aliases.get(module)
        found[name] = _place(alias, module, spelled, reading.architecture) if alias else spelled
    return {name: place for name, place in found.items() if place}


def spelled_places(modules: Iterable[str]) -> dict[str, Place]:
    """The places that modules with the host's own names have in whatever model they are for, by blocks.

    Other names are left out, and numbered lists that only the model tells from a layer or two."""
    places = model_places(f"{module}.weight" for module in modules if module.startswith(MODEL_PREFIX))
    known = {key.removesuffix(".weight"): place for key, place in places.items()
             if not (place.alias.startswith("BASE.") and re.search(r"(^|\.)\d+\.", place.rest))}
    families = sorted(dict.fromkeys(map(_family, known.values())), key=lambda family: family[0])    # BASE last
    order = {name: (families.index(_family(place)), int(re.search(r"\d*$", place.alias)[0] or 0))
             for name, place in known.items()}
    return dict(sorted(known.items(), key=lambda item: order[item[0]]))


def _family(place: Place) -> tuple[bool, str]:
    return place.alias.startswith("BASE."), place.alias.rstrip("0123456789")


def width(patch) -> int | None:
    """Input width of the weight a patch is for, where its parts say so."""
    if isinstance(patch, tuple):
        tensor = patch[1][0]
        return tensor.shape[1] if isinstance(tensor, Tensor) and tensor.ndim > 1 else None
    down = patch.down if isinstance(patch, PeftDora) else part(patch, "down")
    if down is None and part(patch, "t1") is None:
        down = part(patch, "w1_b") if type(patch) is weight_adapter.LoHaAdapter else None
    return None if down is None else down.shape[1]


def _place(alias: str, module: str, spelled: Place | None, architecture: str) -> Place:
    """The place of a module whose alias is known; what is left of its name comes after the path of the block."""
    if alias.startswith("TE."):
        return spelled._replace(alias=alias)
    path = detection.path(alias, detection.architectures()[architecture]) or ""
    if spelled and spelled.path == path:
        return spelled._replace(alias=alias)
    return Place(alias, path, detection.flat(module).removeprefix(path.replace(".", "_") + "_"))


def _encoder(name: str) -> Place | None:
    match = ENCODER_ROOTS.match(name)
    if not match:
        return None
    encoder = match["name"] or f"te{(match['number'] or '_' + (match['kohya'] or '1'))[1:]}"
    block = _block(match["path"].partition("transformer.")[2] or match["path"], _encoder_lists())
    alias, path, rest = block or ("BASE", "", match["path"])
    return Place(f"TE.{encoder}.{alias}", f"{encoder}.{path}".rstrip("."), rest)


def _model(name: str, flux: bool) -> Place | None:
    root = ROOTS.match(name)
    path = name[root.end():] if root else name
    if match := re.match(r"(?:mid_block|middle_block)[._](.+)", path):
        return Place("MID", "middle_block", match[1])
    if re.fullmatch(r"conv_in(\..*)?", path):
        return Place("IN00", "input_blocks.0", path[8:])
    if match := UNET.match(path):
        return _unet(match[1] == "down", int(match[2]), match[3], int(match[4]), match[5])
    if flux and (match := re.match(r"(single_)?transformer_blocks[._](\d+)[._](.+)", path)):
        family, container = ("S", "single_blocks") if match[1] else ("D", "double_blocks")
        return Place(f"{family}{int(match[2]):02d}", f"{container}.{match[2]}", match[3])
    block = _block(path, _model_lists())
    if block or not root:
        return Place(*block) if block else None
    top, dot, rest = path.partition(".")
    return Place(f"BASE.{top}", top, rest) if dot else Place("BASE", "", path)  # lines instead of dots: no telling


def _unet(down: bool, level: int, kind: str, number: int, rest: str) -> Place:
    """Diffusers' names of the UNet of SD and SDXL: two layers and a change of size at every level down, three up."""
    if down:
        number = 3 * level + (3 if kind == "downsamplers" else number + 1)
        return Place(f"IN{number:02d}", f"input_blocks.{number}", rest)
    number = 3 * level + (2 if kind == "upsamplers" else number)
    return Place(f"OUT{number:02d}", f"output_blocks.{number}", rest)


def _block(path: str, lists: Mapping[re.Pattern, tuple[str, str]]) -> tuple[str, str, str] | None:
    for pattern, (family, container) in lists.items():
        if match := pattern.match(path):
            return f"{family}{int(match[1]):02d}", f"{container}.{match[1]}", match[2]
    return None


def _lists(families: Mapping[str, str]) -> dict[re.Pattern, tuple[str, str]]:
    """A pattern for every list of blocks: `double_blocks.7.img_mod`, or with kohya's lines instead of dots."""
    longest_first = sorted(families, key=len, reverse=True)
    return {re.compile("[._]".join(map(re.escape, container.split("."))) + r"[._](?:block)?(\d+)[._](.+)"):
            (families[container], container) for container in longest_first}


@cache
def _model_lists() -> dict:
    return _lists(MODEL_FAMILIES)


@cache
def _encoder_lists() -> dict:
    return _lists({path.removeprefix("transformer."): family for path, family in ENCODER_FAMILIES.items()})
