"""The nodes of this room."""
from .apply import ApplyLora, LoadLora
from .inspect import InspectLora
from .save import SaveLora
from .schedule import ScheduleLora
from .stack import ApplyStack, StackLora

__all__ = ["ApplyLora", "ApplyStack", "InspectLora", "LoadLora", "SaveLora", "ScheduleLora", "StackLora"]
