"""The nodes that put a LoRA on a model."""
import folder_paths
from comfy_api.v0_0_2 import io

from ..applying.patching import apply_lora
from ..applying.report import report
from ..block_weights import presets
from ..block_weights.language import parse
from ..block_weights.values import Settings
from ..file.files import FROM_MEMORY, LoraFile, from_memory, listed_lora
from .blocks_input import blocks_input
from .common import ChecksBlocks, ReadsLora, outputs, reading, shown, strengths


class LoadLora(ReadsLora, io.ComfyNode):
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
    def execute(cls, model, lora_name, strength_model, strength_clip, blocks, clip=None,
                **settings) -> io.NodeOutput:
        lora = listed_lora(lora_name)
        return _apply(model, clip, lora_name, lora, strength_model, strength_clip, blocks, settings)


class ApplyLora(ChecksBlocks, io.ComfyNode):
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
    def fingerprint_inputs(cls, **inputs):
        return presets.version()

    @classmethod
    def execute(cls, model, lora, strength_model, strength_clip, blocks, clip=None, **settings) -> io.NodeOutput:
        return _apply(model, clip, FROM_MEMORY, from_memory(lora), strength_model, strength_clip, blocks, settings)


def _inputs(lora) -> list:
    """The inputs that both nodes have, with the one that brings the LoRA in its place."""
    return [
        io.Model.Input("model", tooltip="The diffusion model the LoRA will be applied to."),
        io.Clip.Input("clip", optional=True, tooltip="The text encoders the LoRA will be applied to. May be left out: "
                                                     "then only the model changes."),
        lora,
        *strengths(),
        blocks_input(),
        *reading(),
    ]


def _apply(model, clip, name, lora: LoraFile, strength_model, strength_clip, blocks, settings) -> io.NodeOutput:
    from ..seen.run_energy import run_energies
    settings = Settings(**settings)
    new_model, new_clip, outcome = apply_lora(model, clip, lora, strength_model, strength_clip, parse(blocks), settings)
    text = report(name, outcome)
    energies = run_energies(lora, outcome, model, clip and clip.patcher)
    return io.NodeOutput(new_model, new_clip, text, ui=shown(text, outcome, energies))
