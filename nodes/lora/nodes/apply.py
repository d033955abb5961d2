"""The nodes that put a LoRA on a model."""
import folder_paths
from comfy_api.v0_0_2 import io

from .. import presets
from ..blocks_input import blocks_input
from ..files import LoraFile, check, listed_lora
from ..language import parse
from ..patching import apply_lora
from ..report import report
from ..values import Settings
from .common import ChecksBlocks, ReadsLora, outputs, shown, strengths


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
        check(lora, "lora: the LoRA from memory")
        lora = LoraFile(lora, {})
        return _apply(model, clip, "LoRA from memory", lora, strength_model, strength_clip, blocks, settings)


def _inputs(lora) -> list:
    """The inputs that both nodes have, with the one that brings the LoRA in its place."""
    return [
        io.Model.Input("model", tooltip="The diffusion model the LoRA will be applied to."),
        io.Clip.Input("clip", optional=True, tooltip="The text encoders the LoRA will be applied to. May be left out: "
                                                     "then only the model changes."),
        lora,
        *strengths(),
        blocks_input(),
        io.Combo.Input("vector_mode", options=["named", "inspire"], default="named", optional=True, advanced=True,
                       tooltip="How a comma vector is read. named: by its length, as the blocks it was made for. "
                               "inspire: by position over the blocks that the file contains, as the Inspire Pack reads "
                               "it, so that an old workflow gives the same picture."),
        io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, optional=True, advanced=True,
                     control_after_generate=io.ControlAfterGenerate.fixed,
                     tooltip="Where the letters R (0 to 3) and U (-1.5 to 1.5) in blocks draw their numbers from."),
        io.Float.Input("a", default=4.0, min=-100.0, max=100.0, step=0.01, optional=True, advanced=True,
                       tooltip="What the letter A in blocks stands for; a small a is half of it."),
        io.Float.Input("b", default=1.0, min=-100.0, max=100.0, step=0.01, optional=True, advanced=True,
                       tooltip="What the letter B in blocks stands for; a small b is half of it."),
    ]


def _apply(model, clip, name, lora: LoraFile, strength_model, strength_clip, blocks, settings) -> io.NodeOutput:
    from ..run_energy import run_energies
    settings = Settings(**settings)
    new_model, new_clip, outcome = apply_lora(model, clip, lora, strength_model, strength_clip, parse(blocks), settings)
    text = report(name, outcome)
    energies = run_energies(lora, outcome, model.model, clip and clip.cond_stage_model)
    return io.NodeOutput(new_model, new_clip, text, ui=shown(text, outcome, energies))
