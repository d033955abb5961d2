"""The nodes of this room."""
from .apply import ApplyLora, LoadLora
from .from_text import LorasFromText
from .inspect import InspectLora
from .regional import RegionalLora
from .rows import LoraRows
from .save import SaveLora
from .schedule import ScheduleLora
from .stack import ApplyStack, StackLora

__all__ = ["ApplyLora", "ApplyStack", "InspectLora", "LoadLora", "LoraRows", "LorasFromText", "RegionalLora",
           "SaveLora", "ScheduleLora", "StackLora"]
