"""The node that lets prompts say what is learnt."""
from comfy_api.v0_0_2 import io

from .dataset import Dataset
from .ranges import check_ranges


class Concept(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaConcept",
            display_name="Concept from Prompts",
            category="bottega/training",
            description="Turns a training set into a slider between two prompts, or keeps prompts from changing while "
                        "the pictures are learnt. The model without its LoRA is the teacher.",
            search_aliases=["slider lora", "concept slider", "prior preservation", "regularization",
                            "differential output preservation", "erase concept", "slider", "negative training",
                            "image pairs", "edit lora"],
            inputs=[
                Dataset.Input("dataset", tooltip="The pictures. For a slider they are where it is taught, and their "
                              "captions the subject it changes."),
                io.Float.Input("strength", default=3.0, min=-20.0, max=20.0, step=0.1,
                               tooltip="Slider: how far a full LoRA goes. Negative turns it round."),
                io.Float.Input("keep_weight", default=1.0, min=0.0, max=100.0, step=0.1,
                               tooltip="How much keeping a prompt counts against learning a picture."),
                io.Conditioning.Input("more", optional=True, tooltip="Slider: the prompt to go towards."),
                io.Conditioning.Input("less", optional=True, tooltip="Slider: the prompt to go away from. Left out, "
                                      "the picture's caption."),
                io.Conditioning.Input("keep", optional=True, tooltip="Prompts that must mean what they meant, such as "
                                      "the class without the new word. Join several with Conditioning (Combine)."),
            ],
            outputs=[
                Dataset.Output("dataset", tooltip="For Train LoRA."),
            ],
        )

    @classmethod
    def execute(cls, dataset, strength, keep_weight, more=None, less=None, keep=None):
        from ..data.concept import preserving, slider
        if more is None and less is None and keep is None:
            raise ValueError("more, less, keep: expected at least one of them, got none.")
        check_ranges(cls, {"strength": strength, "keep_weight": keep_weight})
        if more is not None or less is not None:
            dataset = slider(dataset, more, less, strength)
        if keep is not None:
            dataset = preserving(dataset, keep, keep_weight)
        return io.NodeOutput(dataset)
