"""The nodes for several LoRAs at once."""
import folder_paths
from comfy_api.v0_0_2 import io, ui

from ...shared.node_display import picture_and_text
from ..block_weights.block_language import Settings
from .lora_inputs import (
    ReadsLora,
    apply_as_input,
    blocks_input,
    combination_of,
    combine_inputs,
    conflict_output,
    outputs,
    strengths,
    value_inputs,
)

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
            search_aliases=["lora stack", "lora stacker", "multiple loras", "power lora loader", "lbw stack",
                            "several loras", "multi lora"],
            inputs=[
                Stack.Input("stack", optional=True, tooltip="The stack this LoRA is added to."),
                OtherStack.Input("lora_stack", optional=True,
                                 tooltip="A LORA_STACK of Efficiency, CR, Easy-Use or Lora-Manager nodes; its LoRAs "
                                         "come before this one."),
                io.Combo.Input("lora_name", options=folder_paths.get_filename_list("loras"),
                               tooltip="The LoRA file, from the loras folders."),
                *strengths(),
                blocks_input(),
                *value_inputs(),
            ],
            outputs=[
                Stack.Output(display_name="stack", tooltip="The stack with this LoRA at its end."),
                OtherStack.Output(display_name="lora_stack", tooltip="The same for nodes of other packs. Block weights "
                                                                     "cannot travel in it."),
            ],
        )

    @classmethod
    def execute(cls, lora_name, strength_model, strength_clip, blocks, stack=None, lora_stack=None,
                **settings) -> io.NodeOutput:
        from ..applying.stack import Layer, as_tuples, extended_stack
        layer = Layer(lora_name, strength_model, strength_clip, blocks, Settings(**settings))
        layers = extended_stack(stack, lora_stack, layer)
        return io.NodeOutput(layers, as_tuples(layers))


class ApplyStack(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaApplyStack",
            display_name="Apply LoRA Stack",
            category="bottega/lora",
            description="Puts every LoRA of a stack on a model. LoRAs on the same weight are added up in one pass.",
            search_aliases=["lora stack", "apply lora stack", "multiple loras", "lbw stack"],
            has_intermediate_output=True,
            inputs=[
                io.Model.Input("model", tooltip="The diffusion model the LoRAs will be applied to."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoders the LoRAs will be applied to. May be "
                                                             "left out: then only the model changes."),
                Stack.Input("stack", tooltip="The LoRAs, from Stack LoRA."),
                apply_as_input(),
                *combine_inputs(),
            ],
            outputs=[*outputs(), conflict_output()],
        )

    @classmethod
    def execute(cls, model, stack, clip=None, apply_as="patch", **combine) -> io.NodeOutput:
        from ..applying.apply_report import stack_report
        from ..applying.conflict_report import told
        from ..applying.stack import apply_stack
        how, owners = combination_of(**combine), (model, clip)
        model, clip, results = apply_stack(model, clip, stack, apply_as, how)
        lines, chart = told(how, [result for _, result in results], owners, [layer.name for layer, _ in results])
        text = "\n\n".join([stack_report(results), *lines])
        shown = picture_and_text(cls, chart, text) if lines else ui.PreviewText(text)
        return io.NodeOutput(model, clip, text, chart, ui=shown)
