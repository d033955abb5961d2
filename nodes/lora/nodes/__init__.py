"""The nodes of this room."""
from .apply import ApplyLora, LoadLora

__all__ = ["ApplyLora", "LoadLora"]
