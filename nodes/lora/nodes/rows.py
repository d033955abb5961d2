"""The node that holds several LoRAs in rows."""
import json

from comfy_api.v0_0_2 import io, ui

from ..block_weights import presets
from ..block_weights.block_language import Settings
from ..file.file_metadata import trigger_words
from ..file.lora_files import header, listed_version, lora_path
from .lora_inputs import apply_as_input, combination_of, combine_inputs, outputs, value_inputs
from .stack import OtherStack, Stack

WIDGET = "BOTTEGA_LORA_ROWS"


class LoraRows(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        model, clip, report = outputs()
        return io.Schema(
            node_id="BottegaLoraRows",
            display_name="LoRA Rows",
            category="bottega/lora",
            description="Several LoRAs on one node, a row each: add, drag to reorder, mute, with a strength and block "
                        "weights per row.",
            search_aliases=["power lora loader", "lora list", "multi lora loader", "several loras", "lora rows",
                            "lora loader stack", "lora manager", "toggle loras", "multiple loras"],
            has_intermediate_output=True,
            inputs=[
                io.Model.Input("model", tooltip="The diffusion model the LoRAs will be applied to."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoders the LoRAs will be applied to. May be "
                                                             "left out: then only the model changes."),
                Stack.Input("stack", optional=True, tooltip="A stack whose LoRAs come before these rows."),
                OtherStack.Input("lora_stack", optional=True,
                                 tooltip="A LORA_STACK of other packs; its LoRAs come before these rows too."),
                io.String.Input("rows", default="", multiline=True, extra_dict={"widgetType": WIDGET},
                                tooltip="One LoRA a line: <lora:ink:0.8>, <lora:ink:0.8:0.6> (model, CLIP), "
                                        "<lora:ink:0.8:lbw=IN04=0.5; MID=0>. # before a line mutes it."),
                *value_inputs(),
                apply_as_input(),
                *combine_inputs(),
            ],
            outputs=[
                model,
                clip,
                Stack.Output(display_name="stack", tooltip="The LoRAs in their order, without muted ones."),
                OtherStack.Output(display_name="lora_stack", tooltip="The same for nodes of other packs. Block weights "
                                                                     "cannot travel in it."),
                io.String.Output(display_name="trigger_words", tooltip="The words for the prompt that the files of the "
                                                                       "rows name; may be empty."),
                report,
            ],
        )

    @classmethod
    def validate_inputs(cls, rows=None):
        from ..applying.lora_rows import read_rows
        try:
            read_rows(rows or "")
            return True
        except ValueError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, rows=None, **inputs):
        from ..applying.lora_rows import read_rows
        try:
            layers = read_rows(rows or "").layers
        except ValueError as error:
            return str(error)
        return [listed_version(layer.name) for layer in layers], presets.version()

    @classmethod
    def execute(cls, model, rows, clip=None, stack=None, lora_stack=None, vector_mode="named", seed=0, a=4.0, b=1.0,
                apply_as="patch", **combine) -> io.NodeOutput:
        from ..applying.lora_rows import read_rows
        from ..applying.stack import apply_stack, as_tuples, extended_stack
        found = read_rows(rows, Settings(vector_mode, seed, a, b))
        layers = extended_stack(stack, lora_stack, *found.layers)
        model, clip, results = apply_stack(model, clip, layers, apply_as, combination_of(**combine))
        told = _told(results, found.muted)
        shown = ui.PreviewText(told).as_dict() | {"bottega_rows": [_blocks(results)]}
        return io.NodeOutput(model, clip, layers, as_tuples(layers), _words(found.layers), told, ui=shown)


def _told(results, muted) -> str:
    from ..applying.apply_report import stack_report
    return stack_report(results) + (f"\n\nMuted: {', '.join(muted)}" if muted else "")


def _blocks(results) -> str:
    """The blocks of the model by LoRA, as JSON, for the bars of its row."""
    from ..applying.apply_report import block_list
    return json.dumps({layer.name: json.loads(block_list(result)) for layer, result in results})


def _words(layers) -> str:
    """The trigger words of all files, each file once."""
    words = [trigger_words(header(lora_path(name))) for name in dict.fromkeys(layer.name for layer in layers)]
    return ", ".join(dict.fromkeys(filter(None, words)))
