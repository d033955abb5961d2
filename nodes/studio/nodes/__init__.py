"""The nodes of this room."""
from .best_of import BestOf

__all__ = ["BestOf"]
