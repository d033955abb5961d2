"""The nodes for several LoRAs at once."""
import folder_paths
from comfy_api.v0_0_2 import io, ui

from ..block_weights.values import Settings
from .blocks_input import blocks_input
from .common import ReadsLora, outputs, reading, strengths

Stack = io.Custom("BOTTEGA_STACK")
OtherStack = io.Custom("LORA_STACK")


class StackLora(ReadsLora, io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaStackLora",
            display_name="Stack LoRA",
            category="bottega/lora",
            description="Adds a LoRA with its block weights to a stack, which Apply LoRA Stack puts on a model and "
                        "Save LoRA writes as one file.",
            search_aliases=["lora stack", "lora stacker", "multiple loras", "power lora loader", "lbw stack"],
            inputs=[
                Stack.Input("stack", optional=True, tooltip="The stack this LoRA is added to."),
                OtherStack.Input("lora_stack", optional=True,
                                 tooltip="A LORA_STACK of Efficiency, CR, Easy-Use or Lora-Manager nodes; its LoRAs "
                                         "come before this one."),
                io.Combo.Input("lora_name", options=folder_paths.get_filename_list("loras"),
                               tooltip="The LoRA file, from the loras folders."),
                *strengths(),
                blocks_input(),
                *reading(),
            ],
            outputs=[Stack.Output(display_name="stack", tooltip="The stack with this LoRA at its end.")],
        )

    @classmethod
    def execute(cls, lora_name, strength_model, strength_clip, blocks, stack=None, lora_stack=None,
                **settings) -> io.NodeOutput:
        from ..applying.stack import Layer, joined
        layer = Layer(lora_name, strength_model, strength_clip, blocks, Settings(**settings))
        return io.NodeOutput(joined(stack, lora_stack, layer))


class ApplyStack(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaApplyStack",
            display_name="Apply LoRA Stack",
            category="bottega/lora",
            description="Puts every LoRA of a stack on a model. LoRAs on the same weight are added up in one pass.",
            search_aliases=["lora stack", "apply lora stack", "multiple loras", "lbw stack"],
            inputs=[
                io.Model.Input("model", tooltip="The diffusion model the LoRAs will be applied to."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoders the LoRAs will be applied to. May be "
                                                             "left out: then only the model changes."),
                Stack.Input("stack", tooltip="The LoRAs, from Stack LoRA."),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(cls, model, stack, clip=None) -> io.NodeOutput:
        from ..applying.report import stack_report
        from ..applying.stack import apply_stack
        model, clip, outcomes = apply_stack(model, clip, stack)
        text = stack_report(outcomes)
        return io.NodeOutput(model, clip, text, ui=ui.PreviewText(text))
