"""The node for LoRAs that a prompt names."""
from comfy_api.v0_0_2 import io, ui

from ..block_weights import presets
from ..block_weights.block_language import Settings
from ..file.lora_files import listed_version
from .lora_inputs import outputs, value_inputs
from .stack import Stack


class LorasFromText(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        model, clip, report = outputs()
        return io.Schema(
            node_id="BottegaLorasFromText",
            display_name="LoRAs from Text",
            category="bottega/lora",
            description="Reads <lora:name:0.8> tags in a prompt, with block weights too, and applies their LoRAs.",
            search_aliases=["lora tag loader", "lora from prompt", "a1111 lora syntax", "lbw prompt", "lora text",
                            "lora tag"],
            has_intermediate_output=True,
            inputs=[
                io.Model.Input("model", tooltip="The diffusion model the LoRAs will be applied to."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoders the LoRAs will be applied to. May be "
                                                             "left out: then only the model changes."),
                io.String.Input("text", default="", multiline=True, dynamic_prompts=True,
                                tooltip="A prompt with tags: <lora:ink:0.8>, <lora:ink:0.8:0.6> (model, CLIP), "
                                        "<lora:ink:0.8:lbw=IN04=0.5; MID=0>."),
                Stack.Input("stack", optional=True, tooltip="A stack whose LoRAs come before those of the text."),
                *value_inputs(),
            ],
            outputs=[
                model,
                clip,
                io.String.Output(display_name="text", tooltip="The prompt without its tags."),
                Stack.Output(display_name="stack", tooltip="The LoRAs in their order."),
                report,
            ],
        )

    @classmethod
    def validate_inputs(cls, text=None):
        from ..applying.prompt_tags import read_prompt
        try:
            read_prompt(text or "")
            return True
        except ValueError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, text=None, **inputs):
        from ..applying.prompt_tags import read_prompt
        try:
            layers = read_prompt(text or "")[1]
        except ValueError as error:
            return str(error)
        return [listed_version(layer.name) for layer in layers], presets.version()

    @classmethod
    def execute(cls, model, text, clip=None, stack=None, **settings) -> io.NodeOutput:
        from ..applying.apply_report import stack_report
        from ..applying.prompt_tags import read_prompt
        from ..applying.stack import apply_stack, checked
        text, named = read_prompt(text, Settings(**settings))
        layers = (*checked(stack or ()), *named)
        model, clip, results = apply_stack(model, clip, layers)
        told = stack_report(results)
        return io.NodeOutput(model, clip, text, layers, told, ui=ui.PreviewText(told))
