"""The nodes of this room."""
from .apply import ApplyLora, LoadLora
from .stack import ApplyStack, StackLora

__all__ = ["ApplyLora", "ApplyStack", "LoadLora", "StackLora"]
