"""The node that looks into a LoRA."""
import folder_paths
from comfy_api.v0_0_2 import io

from ...shared.node_display import picture_and_text
from ..file.file_metadata import metadata_text
from ..file.lora_files import FROM_MEMORY, NO_FILE, from_memory, listed_lora, lora_path
from .lora_inputs import ReadsLora


class InspectLora(ReadsLora, io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaInspectLora",
            display_name="Inspect LoRA",
            category="bottega/lora",
            description="Shows what a LoRA is: format, rank, alpha, what it was trained on, and how much it changes in "
                        "each block. Nothing is sampled.",
            search_aliases=["lora info", "lora metadata", "lora analyzer", "lora block info", "trigger words",
                            "what is in this lora", "lora rank", "lora keys", "lora base model"],
            is_output_node=True,
            inputs=[
                io.Combo.Input("lora_name", options=[NO_FILE, *folder_paths.get_filename_list("loras")], optional=True,
                               tooltip="The LoRA file, from the loras folders. Ignored when lora is connected."),
                io.LoraModel.Input("lora", optional=True, tooltip="A LoRA from memory, from Train LoRA or core nodes."),
                io.Model.Input("model", optional=True,
                               tooltip="The model to compare with: which of its blocks the LoRA has, what would not "
                                       "fit, and the norms that depend on its weights (DoRA, GLoRA, OFT)."),
            ],
            outputs=[
                io.String.Output(display_name="report", tooltip="What the LoRA is, in Markdown."),
                io.Image.Output(display_name="chart", tooltip="The norm of the change in every block, by family."),
                io.String.Output(display_name="metadata", tooltip="The metadata of the file as JSON; Save LoRA takes "
                                                                  "it as it is."),
            ],
        )

    @classmethod
    def validate_inputs(cls, lora_name=None, lora=False):
        # Named here, lora_name need not be in the list; the host gives None for what is connected.
        if lora is None or lora_name in (None, "", NO_FILE):
            return True
        try:
            return bool(lora_path(lora_name))
        except FileNotFoundError as error:
            return str(error)

    @classmethod
    def execute(cls, lora_name=None, lora=None, model=None) -> io.NodeOutput:
        from ..inspection.inspection_report import describe, inspect
        if lora is None and lora_name in (None, "", NO_FILE):
            raise ValueError("lora_name: expected a LoRA file, or a LoRA connected to lora, got neither.")
        name, file = (lora_name, listed_lora(lora_name)) if lora is None else (FROM_MEMORY, from_memory(lora))
        found = inspect(file, model)
        text, picture = describe(name, file, found), _chart(name, found)
        shown = picture_and_text(cls, picture, text)
        return io.NodeOutput(text, picture, metadata_text(file.metadata), ui=shown)


def _chart(name: str, found):
    from ...charts.chart_types.block_bars import Bar, Family, block_chart
    from ...charts.drawing.draw import render
    from ...charts.drawing.theme import LIGHT
    from ..inspection.inspection_report import families
    total = sum(energy.norm ** 2 for energy in found.blocks.values() if energy) or 1.0
    rows = []
    for label, members in families(found.blocks).items():
        bars = [Bar(short, _height(energy)) for short, energy in members]
        rows.append(Family(label, bars, sum(energy.norm ** 2 for _, energy in members if energy) / total))
    subtitle = "norm of the change in each block; right: share of the whole, squared"
    return render(block_chart(rows, name[-52:], subtitle, LIGHT), LIGHT.paper)


def _height(energy) -> float | None:
    if energy is None:
        return 0.0
    return None if energy.unknown == energy.weights else energy.norm
