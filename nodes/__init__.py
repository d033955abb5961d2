"""Every node of the pack, in menu order."""
from .oldest_host import check_host, version_of_host

check_host(version_of_host())  # before the imports below, which an old host may not have

from comfy_api.v0_0_2 import ComfyExtension, io

from .charts.nodes import Chart
from .critique.nodes import ArtCritique, CritiqueReference, RankImages
from .critique.vision.nodes import DescribeImage, VisionCritic
from .lora.nodes import ApplyLora, ApplyStack, InspectLora, LoadLora, SaveLora, ScheduleLora, StackLora
from .lora.routes import add_routes as add_lora_routes
from .studio.nodes import BestOf, BlockEffect, CriticTrain, Rewrite, Steer, TrainingCritic, TuneBlocks
from .training.nodes import (
    Adapter,
    Concept,
    CoreTrainingSet,
    TrainingChart,
    TrainingRecipe,
    TrainingSet,
    TrainLora,
)
from .training.stop import add_route as add_training_route


class BottegaExtension(ComfyExtension):
    async def on_load(self):
        add_lora_routes()
        add_training_route()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            LoadLora,
            ApplyLora,
            StackLora,
            ApplyStack,
            ScheduleLora,
            InspectLora,
            SaveLora,
            TrainingSet,
            CoreTrainingSet,
            Concept,
            Adapter,
            TrainingRecipe,
            TrainLora,
            TrainingChart,
            ArtCritique,
            CritiqueReference,
            RankImages,
            DescribeImage,
            VisionCritic,
            Chart,
            BestOf,
            Steer,
            BlockEffect,
            TuneBlocks,
            CriticTrain,
            TrainingCritic,
            Rewrite,
        ]


async def comfy_entrypoint() -> BottegaExtension:
    return BottegaExtension()
