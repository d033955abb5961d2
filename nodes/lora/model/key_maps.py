"""What the weights of a model are called, by us and by the host: worked out once for each model in memory."""
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

import comfy.lora
import torch

from .blocks import Place, encoder_places, model_places


class KeyMaps(NamedTuple):
    places: Mapping[str, Place]
    """Where each weight sits, by state-dict key."""
    names: Mapping[str, object]
    """The target that each name of a file means to the host: a state-dict key, or a tuple for a slice of one."""


# Nodes hold no state, yet one block's slider must not map thousands of names again. A model takes its key_maps along.
_known: WeakKeyDictionary[torch.nn.Module, tuple[int, KeyMaps]] = WeakKeyDictionary()


def of_model(module: torch.nn.Module) -> KeyMaps:
    """The key_maps of a model of the host, such as ModelPatcher.model."""
    return _remembered(module, lambda: KeyMaps(model_places(module.state_dict()),
                                            comfy.lora.model_lora_keys_unet(module, {})))


def of_encoders(module: torch.nn.Module) -> KeyMaps:
    """The key_maps of text encoders of the host, such as CLIP.cond_stage_model."""
    return _remembered(module, lambda: KeyMaps(encoder_places(module.state_dict()),
                                            comfy.lora.model_lora_keys_clip(module, {})))


def _remembered(module: torch.nn.Module, make: Callable[[], KeyMaps]) -> KeyMaps:
    shape = hash(tuple(_shape(module)))
    known = _known.get(module)
    if known is None or known[0] != shape:
        _known[module] = known = shape, make()
    return known[1]


def _shape(module: torch.nn.Module) -> Iterator[int]:
    """Tells a model from what it was before another node pack put modules into it or took some out."""
    for child in module._modules.values():  # module.modules() also builds every path
        if child is not None:
            yield id(child)
            yield from _shape(child)
