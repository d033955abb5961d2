"""The nodes that put a LoRA on a model."""
import folder_paths
from comfy_api.v0_0_2 import io, ui

from ..blocks_input import blocks_input
from ..files import LoraFile, file_version, read_lora_cached
from ..language import parse
from ..patching import apply_lora
from ..report import report
from .common import outputs, problem, strengths


class LoadLora(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaLoadLora",
            display_name="Load LoRA (Block Weights)",
            category="bottega/lora",
            description="Loads a LoRA with a weight for each block of the model, on any architecture. "
                        "With no block weights it does what the Load LoRA node does.",
            search_aliases=["lora block weight", "lbw", "lora loader", "load lora", "apply lora"],
            inputs=_inputs(io.Combo.Input("lora_name", options=folder_paths.get_filename_list("loras"),
                                          tooltip="The LoRA file, from the loras folders.")),
            outputs=outputs(),
        )

    @classmethod
    def validate_inputs(cls, blocks=None):
        return problem(blocks) if blocks else True

    @classmethod
    def fingerprint_inputs(cls, lora_name, **inputs):
        path = lora_name and folder_paths.get_full_path("loras", lora_name)  # a linked name is not known yet
        return file_version(path) if path else lora_name

    @classmethod
    def execute(cls, model, lora_name, strength_model, strength_clip, blocks, clip=None) -> io.NodeOutput:
        path = folder_paths.get_full_path("loras", lora_name)
        if path is None:
            raise FileNotFoundError(f"lora_name: there is no {lora_name} in the loras folders.")
        return _apply(model, clip, lora_name, read_lora_cached(path), strength_model, strength_clip, blocks)


class ApplyLora(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaApplyLora",
            display_name="Apply LoRA (Block Weights)",
            category="bottega/lora",
            description="Applies a LoRA from memory, such as one that was just trained, with a weight for each block.",
            search_aliases=["lora block weight", "lbw", "apply lora", "load lora model", "lora from memory"],
            inputs=_inputs(io.LoraModel.Input("lora", tooltip="The LoRA, from Train LoRA or the core nodes.")),
            outputs=outputs(),
        )

    @classmethod
    def validate_inputs(cls, blocks=None):
        return problem(blocks) if blocks else True

    @classmethod
    def execute(cls, model, lora, strength_model, strength_clip, blocks, clip=None) -> io.NodeOutput:
        return _apply(model, clip, "LoRA from memory", LoraFile(lora, {}), strength_model, strength_clip, blocks)


def _inputs(lora) -> list:
    """The inputs that both nodes have, with the one that brings the LoRA in its place."""
    return [
        io.Model.Input("model", tooltip="The diffusion model the LoRA will be applied to."),
        io.Clip.Input("clip", optional=True, tooltip="The text encoders the LoRA will be applied to. May be left out: "
                                                     "then only the model changes."),
        lora,
        *strengths(),
        blocks_input(),
    ]


def _apply(model, clip, name, lora: LoraFile, strength_model, strength_clip, blocks) -> io.NodeOutput:
    model, clip, outcome = apply_lora(model, clip, lora, strength_model, strength_clip, parse(blocks))
    text = report(name, outcome)
    return io.NodeOutput(model, clip, text, ui=ui.PreviewText(text))
