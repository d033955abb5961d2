"""The nodes of this room."""
from .adapter import Adapter
from .average import AverageCheckpoints
from .chart import TrainingChart
from .concept import Concept
from .dataset import CoreTrainingSet, TrainingSet
from .recipe import TrainingRecipe
from .train import TrainLora

__all__ = ["Adapter", "AverageCheckpoints", "Concept", "CoreTrainingSet", "TrainLora", "TrainingChart",
           "TrainingRecipe", "TrainingSet"]
