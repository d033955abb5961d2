"""The nodes of this room."""
from .best_of import BestOf
from .critic import TrainingCritic
from .effect import BlockEffect
from .rewrite import Rewrite
from .steer import Steer
from .train import CriticTrain
from .tune import TuneBlocks

__all__ = ["BestOf", "BlockEffect", "CriticTrain", "Rewrite", "Steer", "TrainingCritic", "TuneBlocks"]
