"""Nodes that make a training set."""
from comfy_api.v0_0_2 import io

from .types import Dataset


class CoreTrainingSet(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaCoreTrainingSet",
            display_name="Training Set (from core nodes)",
            category="bottega/training",
            description="Turns the latents and captions of ComfyUI's own data-set nodes into a training set.",
            search_aliases=["dataset", "training data", "make training dataset", "load training dataset", "captions"],
            is_input_list=True,
            inputs=[
                io.Latent.Input("latents", tooltip="The pictures, as Make Training Dataset, Load Training Dataset, "
                                "Resolution Bucket or VAE Encode give them: one latent, a batch or a list, of any "
                                "sizes."),
                io.Conditioning.Input("positive", tooltip="The captions in the same order: one for each picture, or "
                                      "a single one for all."),
            ],
            outputs=[
                Dataset.Output("dataset", tooltip="The training set, for Train LoRA."),
            ],
        )

    @classmethod
    def execute(cls, latents, positive):
        from ..dataset import from_core_nodes
        return io.NodeOutput(from_core_nodes(latents, positive))
