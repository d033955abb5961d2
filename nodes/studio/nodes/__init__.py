"""The nodes of this room."""
from .best_of import BestOf
from .effect import BlockEffect
from .training_critic import TrainingCritic

__all__ = ["BestOf", "BlockEffect", "TrainingCritic"]
