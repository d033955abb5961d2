"""The node that puts a LoRA on a part of the picture."""
import folder_paths
from comfy_api.v0_0_2 import io

from ..block_weights.block_language import Settings, parse
from ..file.lora_files import listed_lora
from .lora_inputs import ReadsLora, blocks_input, node_ui, value_inputs


class RegionalLora(ReadsLora, io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaRegionalLora",
            display_name="Regional LoRA",
            category="bottega/lora",
            description="A LoRA in a part of the picture only, with a weight for each block. Chain one node for each "
                        "LoRA and its mask; all are drawn in one pass.",
            search_aliases=["lora mask", "masked lora", "lora region", "regional prompt", "attention couple",
                            "two characters", "latent couple", "lora in a part of the picture"],
            has_intermediate_output=True,
            inputs=[
                io.Model.Input("model", tooltip="The diffusion model, or another Regional LoRA, whose regions are "
                                                "kept."),
                io.Combo.Input("lora_name", options=folder_paths.get_filename_list("loras"),
                               tooltip="The LoRA file, from the loras folders."),
                io.Mask.Input("mask", tooltip="Where the LoRA works: white fully, black not at all. One mask, or one "
                                              "for each picture of the batch or frame of the video."),
                io.Float.Input("strength", default=1.0, min=-100.0, max=100.0, step=0.01,
                               tooltip="Strength inside the mask; multiplies the weights of the blocks. May be "
                                       "negative."),
                blocks_input(),
                io.Conditioning.Input("words", optional=True,
                                      tooltip="What is read inside the mask instead of the prompt, from CLIP Text "
                                              "Encode. For models that read words by cross-attention: SD1.5, SDXL, "
                                              "Wan."),
                *value_inputs(),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="The model with this region behind those it had."),
                io.String.Output(display_name="report", tooltip="What works in the region, what was left out and why, "
                                                                "and the weight of every block."),
            ],
        )

    @classmethod
    def execute(cls, model, lora_name, mask, strength, blocks, words=None, **settings) -> io.NodeOutput:
        from ..applying.apply_report import report
        from ..regional.apply_regional import apply_regional, words_of
        spec, settings = parse(blocks), Settings(**settings)
        new_model, result = apply_regional(model, listed_lora(lora_name), mask, strength, spec, settings,
                                           words_of(words), lora_name)
        text = report(lora_name, result)
        return io.NodeOutput(new_model, text, ui=node_ui(text, result, lora_name=lora_name))
