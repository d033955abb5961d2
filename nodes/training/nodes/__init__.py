"""The nodes of this room."""
from .adapter import Adapter
from .chart import TrainingChart
from .concept import Concept
from .dataset import CoreTrainingSet, TrainingSet
from .recipe import TrainingRecipe
from .train import TrainLora

__all__ = ["Adapter", "Concept", "CoreTrainingSet", "TrainLora", "TrainingChart", "TrainingRecipe", "TrainingSet"]
