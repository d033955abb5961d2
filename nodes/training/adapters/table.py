"""The algorithms by the names people know them under."""
from typing import NamedTuple

from .base import Adapter
from .lora import Lora, LoraSettings


class Algorithm(NamedTuple):
    """convolutions: whether those of the chosen blocks are trained without being named."""
    adapter: type[Adapter]
    settings: type
    convolutions: bool = False


ALGORITHMS = {
    "LoRA": Algorithm(Lora, LoraSettings),
    "LoCon": Algorithm(Lora, LoraSettings, convolutions=True),
}
