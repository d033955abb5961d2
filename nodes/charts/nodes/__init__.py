"""The node of this room."""
from .chart import Chart

__all__ = ["Chart"]
