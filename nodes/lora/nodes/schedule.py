"""The node for a LoRA whose strength changes while sampling."""
import folder_paths
from comfy_api.v0_0_2 import io

from ..applying.bypass import APPLY_AS, PATCH
from ..block_weights.block_language import Settings, parse
from ..file.lora_files import listed_lora
from .lora_inputs import ReadsLora, blocks_input, blocks_problem, node_ui, strengths, value_inputs


class ScheduleLora(ReadsLora, io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaScheduleLora",
            display_name="Schedule LoRA",
            category="bottega/lora",
            description="A LoRA whose strength changes while sampling, with a weight for each block. Connect it to Set "
                        "CLIP Hooks, or to Cond Set Props.",
            search_aliases=["lora schedule", "lora hook", "create hook lora", "lora keyframes", "lbw schedule",
                            "lora over time", "lora strength curve"],
            has_intermediate_output=True,
            inputs=[
                io.Combo.Input("lora_name", options=folder_paths.get_filename_list("loras"),
                               tooltip="The LoRA file, from the loras folders."),
                *strengths(),
                blocks_input(),
                io.String.Input("keyframes", default="0:0.2, 0.5:1",
                                tooltip="Strengths over the sampling, START:STRENGTH: 0:0.2, 0.5:1 is a fifth until "
                                        "the middle, then full. They multiply the strengths above. Empty: 1 "
                                        "throughout."),
                io.Hooks.Input("prev_hooks", optional=True, tooltip="Hooks of other nodes, which are kept."),
                io.Model.Input("model", optional=True,
                               tooltip="The model that will be sampled. It is only looked at: names of blocks are "
                                       "checked now, and what hooks cannot do is said now instead of while sampling."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoders that will be used; only looked at."),
                *value_inputs(),
                io.Combo.Input("apply_as", options=list(APPLY_AS), default=PATCH, optional=True, advanced=True,
                               tooltip="patch: the weights are changed anew whenever the strength does. bypass: the "
                                       "LoRA runs beside the model's layers, so that another strength costs nothing; "
                                       "quantised and GGUF weights stay as they are. A step takes a little longer. "
                                       "Text encoders are always patched."),
            ],
            outputs=[io.Hooks.Output(display_name="HOOKS", tooltip="The LoRA as hooks, after prev_hooks.")],
        )

    @classmethod
    def validate_inputs(cls, blocks=None, keyframes=None):
        from ..applying.schedule import parse_keyframes
        try:
            parse_keyframes(keyframes or "")
        except ValueError as error:
            return str(error)
        return blocks_problem(blocks) if blocks else True

    @classmethod
    def execute(cls, lora_name, strength_model, strength_clip, blocks, keyframes, prev_hooks=None, model=None,
                clip=None, apply_as=PATCH, **settings) -> io.NodeOutput:
        from ..applying.schedule import chained_hooks, check_and_report, dynamic_vram_notice, parse_keyframes
        settings = Settings(**settings)
        frames, spec, lora = parse_keyframes(keyframes), parse(blocks), listed_lora(lora_name)
        strengths = strength_model, strength_clip
        text, weights, result = check_and_report(lora_name, lora, *strengths, spec, model, clip, settings, apply_as)
        hooks = chained_hooks(prev_hooks, lora.tensors, *strengths, spec, frames, weights, settings, apply_as)
        lines = [f"{lora_name}: {_in_words(frames)}", *filter(None, (dynamic_vram_notice(), text))]
        return io.NodeOutput(hooks, ui=node_ui("\n".join(lines), result, lora_name=lora_name))


def _in_words(frames) -> str:
    if not frames:
        return "strength 1 throughout."
    first = f"strength {frames[0][1]:g} from the start"
    return ", ".join([first, *(f"{strength:g} from {start:.0%}" for start, strength in frames[1:])]) + "."
