"""The nodes of this room."""
from .best_of import BestOf
from .critic_train import CriticTrain
from .effect import BlockEffect
from .rewrite import Rewrite
from .steer import Steer
from .training_critic import TrainingCritic
from .tune import TuneBlocks

__all__ = ["BestOf", "BlockEffect", "CriticTrain", "Rewrite", "Steer", "TrainingCritic", "TuneBlocks"]
