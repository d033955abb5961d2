"""The nodes of this room."""
from .best_of import BestOf
from .effect import BlockEffect
from .rewrite import Rewrite
from .training_critic import TrainingCritic
from .tune import TuneBlocks

__all__ = ["BestOf", "BlockEffect", "Rewrite", "TrainingCritic", "TuneBlocks"]
