"""The nodes of this room."""
from .best_of import BestOf
from .block_effect import BlockEffect
from .critic_train import CriticTrain
from .critique_guidance import Steer
from .lora_grid import LoraGrid
from .prompt_critic import Rewrite
from .training_critic import TrainingCritic
from .tune_blocks import TuneBlocks

__all__ = ["BestOf", "BlockEffect", "CriticTrain", "LoraGrid", "Rewrite", "Steer", "TrainingCritic", "TuneBlocks"]
