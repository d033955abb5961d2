"""Every node of the pack, in menu order."""
from .shared.host_version import check_host, version_of_host

check_host(version_of_host())  # before the imports below, which an old host may not have

from comfy_api.v0_0_2 import ComfyExtension, io

from .charts.nodes import Chart
from .critique.nodes import (
    ArtCritique,
    CaptionFolder,
    CompareVersions,
    CritiqueGallery,
    CritiqueReference,
    DescribeImage,
    LearnedScore,
    RankImages,
    VisionCritic,
)
from .lora.nodes import (
    ApplyLora,
    ApplyStack,
    InspectLora,
    LoadLora,
    LoraRows,
    LorasFromText,
    RegionalLora,
    SaveLora,
    ScheduleLora,
    StackLora,
)
from .lora.routes import add_routes as add_lora_routes
from .shared.host_capabilities import log_lacking
from .shared.last_outputs import add_route as add_last_outputs_route
from .studio.nodes import BestOf, BlockEffect, CriticTrain, LoraGrid, Rewrite, Steer, TrainingCritic, TuneBlocks
from .training.nodes import (
    Adapter,
    AverageCheckpoints,
    Concept,
    CoreTrainingSet,
    TrainingChart,
    TrainingRecipe,
    TrainingSet,
    TrainLora,
)
from .training.stop_and_keep import add_routes as add_training_routes


class BottegaExtension(ComfyExtension):
    async def on_load(self):
        log_lacking()
        add_lora_routes()
        add_training_routes()
        add_last_outputs_route()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            LoadLora,
            ApplyLora,
            StackLora,
            ApplyStack,
            LoraRows,
            LorasFromText,
            RegionalLora,
            ScheduleLora,
            InspectLora,
            SaveLora,
            CaptionFolder,
            TrainingSet,
            CoreTrainingSet,
            Concept,
            Adapter,
            TrainingRecipe,
            TrainLora,
            TrainingChart,
            AverageCheckpoints,
            ArtCritique,
            CritiqueReference,
            CritiqueGallery,
            RankImages,
            CompareVersions,
            LearnedScore,
            DescribeImage,
            VisionCritic,
            Chart,
            BestOf,
            Steer,
            BlockEffect,
            TuneBlocks,
            LoraGrid,
            CriticTrain,
            TrainingCritic,
            Rewrite,
        ]


async def comfy_entrypoint() -> BottegaExtension:
    return BottegaExtension()
