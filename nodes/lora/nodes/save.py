"""The node that writes LoRAs."""
from comfy_api.v0_0_2 import io

from ...shared.node_display import picture_and_text
from ..block_weights import presets
from ..block_weights.block_language import Settings
from ..file.lora_files import FROM_MEMORY, from_memory, listed_lora
from .lora_inputs import (
    blocks_input,
    blocks_problem,
    combination_of,
    combine_inputs,
    conflict_output,
    node_ui,
    value_inputs,
)
from .stack import Stack


class SaveLora(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaSaveLora",
            display_name="Save LoRA",
            category="bottega/lora",
            description="Writes a stack of LoRAs, or one from memory, as a single file with strengths and block "
                        "weights in it: loaded at strength 1 it does the same. Renames between ComfyUI, kohya and "
                        "diffusers, and makes LoRAs smaller.",
            search_aliases=["save lora", "merge lora", "bake block weights", "resize lora", "convert lora",
                            "export lora", "convert lora format", "kohya", "diffusers", "shrink lora"],
            is_output_node=True,
            inputs=[
                Stack.Input("stack", optional=True, tooltip="The LoRAs to write, from Stack LoRA; several become one."),
                io.LoraModel.Input("lora", optional=True,
                                   tooltip="A LoRA from memory instead of a stack, such as one just trained."),
                blocks_input(tooltip="Weights of the blocks of lora, such as J00=0.5; a stack brings its own. "
                                     "Empty: every block at 1."),
                io.String.Input("name", default="my_lora",
                                tooltip="File name in output/loras, without folder or ending. An existing file is "
                                        "never overwritten: a number is added."),
                io.Combo.Input("format", options=["comfy", "kohya", "diffusers"], default="comfy",
                               tooltip="How the weights are named: ComfyUI's module paths, as kohya's trainers do, or "
                                       "as diffusers does. ComfyUI loads all three."),
                io.Int.Input("rank", default=0, min=0, max=1024,
                             tooltip="0 keeps everything exactly. Else the highest rank of each weight; the report "
                                     "says how much of the change is kept."),
                io.String.Input("metadata", default="", multiline=True,
                                tooltip="A JSON object to add to the metadata of the file, such as the output of "
                                        "Inspect LoRA. What the LoRAs say is carried over anyway."),
                io.Model.Input("model", optional=True,
                               tooltip="The model the LoRA is for. Needed to merge several, to rename between formats, "
                                       "and for what depends on its weights. Without it one LoRA keeps its names."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoders, where the LoRA changes them."),
                *value_inputs(),
                *combine_inputs(),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="The file that was written."), conflict_output()],
        )

    @classmethod
    def validate_inputs(cls, blocks=None, name=None, metadata=None):
        from ..saving.output_file import file_stem
        from ..saving.saved_metadata import read_metadata
        try:
            read_metadata(metadata or "")
            if name is not None:
                file_stem(name)
        except ValueError as error:
            return str(error)
        return blocks_problem(blocks) if blocks else True

    @classmethod
    def fingerprint_inputs(cls, **inputs):
        return presets.version()

    @classmethod
    def execute(cls, blocks, name, format, rank, metadata, stack=None, lora=None, model=None,
                clip=None, combine="sum", density=0.5, keep_size=True, **settings) -> io.NodeOutput:
        from ..applying.conflict_report import told
        from ..saving.save_lora import save
        from ..saving.saved_metadata import read_metadata
        sources, how = _sources(stack, lora, blocks, Settings(**settings)), combination_of(combine, density, keep_size)
        saved = save(sources, name, format, rank, read_metadata(metadata), model, clip, how)
        lines, chart = told(how, saved.results, (model, clip), [source.label for source in sources])
        text = "\n\n".join([saved.text, *lines])
        shown = picture_and_text(cls, chart, text) if lines else {}
        return io.NodeOutput(str(saved.path), chart, ui=shown | node_ui(
            shown.get("text", (text,))[0], saved.result if stack is None else None))


def _sources(stack, lora, blocks: str, settings: Settings) -> list:
    from ..applying.stack import checked
    from ..saving.saved_metadata import Source
    if (stack is None) == (lora is None):
        raise ValueError(f"stack: expected a stack or a lora, got {'neither' if lora is None else 'both'}.")
    if lora is not None:
        return [Source(FROM_MEMORY, from_memory(lora), 1.0, 1.0, blocks, settings)]
    if blocks.strip():
        raise ValueError("blocks: expected nothing beside a stack, whose LoRAs have their own; these are for lora.")
    return [Source(layer.name, listed_lora(layer.name, "stack"), *layer[1:])
            for layer in checked(stack)]
