"""The nodes of this room."""
from .best_of import BestOf
from .training_critic import TrainingCritic

__all__ = ["BestOf", "TrainingCritic"]
