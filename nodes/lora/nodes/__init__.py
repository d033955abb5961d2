"""The nodes of this room."""
from .apply import ApplyLora, LoadLora
from .schedule import ScheduleLora
from .stack import ApplyStack, StackLora

__all__ = ["ApplyLora", "ApplyStack", "LoadLora", "ScheduleLora", "StackLora"]
