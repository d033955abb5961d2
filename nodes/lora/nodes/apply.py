"""The nodes that put a LoRA on a model."""
import folder_paths
from comfy_api.v0_0_2 import io

from ..applying.apply_report import report
from ..applying.bypass import BYPASS, PATCH
from ..applying.patching import apply_lora
from ..block_weights import presets
from ..block_weights.block_language import Settings, parse
from ..file.file_metadata import metadata_text, trigger_words
from ..file.lora_files import FROM_MEMORY, LoraFile, from_memory, listed_lora
from .lora_inputs import (
    ChecksBlocks,
    ReadsLora,
    apply_as_input,
    blocks_input,
    node_ui,
    outputs,
    strengths,
    value_inputs,
)


class LoadLora(ReadsLora, io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaLoadLora",
            display_name="Load LoRA (Block Weights)",
            category="bottega/lora",
            description="Loads a LoRA with a weight for each block of the model, on any architecture. "
                        "With no block weights it does what the Load LoRA node does.",
            search_aliases=["lora block weight", "lbw", "lora loader", "load lora", "apply lora", "lora",
                            "block weight", "lora strength per block"],
            has_intermediate_output=True,
            inputs=_inputs(io.Combo.Input("lora_name", options=folder_paths.get_filename_list("loras"),
                                          tooltip="The LoRA file, from the loras folders.")),
            outputs=[
                *outputs(),
                io.String.Output(display_name="trigger_words", tooltip="The words for the prompt that the file names, "
                                                                       "or its most frequent tags; may be empty."),
                io.String.Output(display_name="metadata", tooltip="The metadata of the file as JSON."),
            ],
        )

    @classmethod
    def execute(cls, model, lora_name, strength_model, strength_clip, blocks, clip=None,
                **settings) -> io.NodeOutput:
        lora = listed_lora(lora_name)
        done = _apply(model, clip, lora_name, lora, strength_model, strength_clip, blocks, settings)
        return io.NodeOutput(*done.args, trigger_words(lora.metadata), metadata_text(lora.metadata), ui=done.ui)


class ApplyLora(ChecksBlocks, io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaApplyLora",
            display_name="Apply LoRA (Block Weights)",
            category="bottega/lora",
            description="Applies a LoRA from memory, such as one that was just trained, with a weight for each block.",
            search_aliases=["lora block weight", "lbw", "apply lora", "load lora model", "lora from memory", "lora"],
            has_intermediate_output=True,
            inputs=_inputs(io.LoraModel.Input("lora", tooltip="The LoRA, from Train LoRA or the core nodes.")),
            outputs=outputs(),
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return presets.version()

    @classmethod
    def execute(cls, model, lora, strength_model, strength_clip, blocks, clip=None, **settings) -> io.NodeOutput:
        return _apply(model, clip, None, from_memory(lora), strength_model, strength_clip, blocks, settings)


def _inputs(lora) -> list:
    """The inputs that both nodes have, with the one that brings the LoRA in its place."""
    return [
        io.Model.Input("model", tooltip="The diffusion model the LoRA will be applied to."),
        io.Clip.Input("clip", optional=True, tooltip="The text encoders the LoRA will be applied to. May be left out: "
                                                     "then only the model changes."),
        lora,
        *strengths(),
        blocks_input(),
        *value_inputs(),
        apply_as_input(),
    ]


def _apply(model, clip, name: str | None, lora: LoraFile, strength_model, strength_clip, blocks,
           settings) -> io.NodeOutput:
    from ..applying.stack import apply_bypassed
    from ..inspection.editor_overview import run_energies
    apply = apply_bypassed if settings.pop("apply_as", PATCH) == BYPASS else apply_lora
    settings = Settings(**settings)
    new_model, new_clip, result = apply(model, clip, lora, strength_model, strength_clip, parse(blocks), settings)
    text = report(name or FROM_MEMORY, result)
    energies = run_energies(lora, result, model, clip and clip.patcher)
    return io.NodeOutput(new_model, new_clip, text, ui=node_ui(text, result, energies, name))
