"""The algorithms by the names people know them under."""
from typing import NamedTuple

from .base import Adapter
from .dora import Dora
from .loha import Loha, LohaSettings
from .lokr import Lokr, LokrSettings
from .lora import Lora, LoraSettings
from .oft import Oft, OftSettings


class Algorithm(NamedTuple):
    """convolutions: whether those of the chosen blocks are trained without being named."""
    adapter: type[Adapter]
    settings: type
    convolutions: bool = False


ALGORITHMS = {
    "LoRA": Algorithm(Lora, LoraSettings),
    "LoCon": Algorithm(Lora, LoraSettings, convolutions=True),
    "DoRA": Algorithm(Dora, LoraSettings),
    "LoHa": Algorithm(Loha, LohaSettings),
    "LoKr": Algorithm(Lokr, LokrSettings),
    "OFT": Algorithm(Oft, OftSettings),
}
