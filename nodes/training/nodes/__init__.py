"""The nodes of this room."""
from .chart import TrainingChart
from .dataset import CoreTrainingSet
from .recipe import TrainingRecipe
from .train import TrainLora

__all__ = ["CoreTrainingSet", "TrainLora", "TrainingChart", "TrainingRecipe"]
