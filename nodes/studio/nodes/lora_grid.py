"""The node that draws LoRAs at several strengths and block weights, and names the best."""
from math import inf

import comfy.utils
import folder_paths
from comfy_api.v0_0_2 import io

from ...lora.block_weights import presets
from ...lora.file.listed_names import file_names
from ...lora.file.lora_files import FROM_MEMORY, from_memory, listed_lora, listed_version
from ...shared.node_display import picture_and_text
from . import interrupted
from .shared_inputs import (
    REFERENCE,
    RUBRIC,
    ReferenceType,
    asked_of,
    check_numbers,
    check_rubric,
    devices_input,
    measurable_rubric,
    preview,
    sampling_inputs,
    sampling_of,
)

LORAS = """LoRA files, one a line, as the loras folders list them. A pattern such as my_lora* takes all that fit: every
checkpoint of a training, for example. Empty when only lora is connected."""
BLOCKS = """Block weights to compare, one text a line, as in Load LoRA (Block Weights): IN*=0; MID=0. Presets work.
A line of default=1 is the whole LoRA. Empty: the whole LoRA alone."""


class LoraGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaLoraGrid",
            display_name="LoRA Grid",
            category="bottega/studio",
            description="Draws LoRAs, such as the checkpoints of a training, at several strengths and block weights "
                        "from the same seeds, judges every picture and names the best setting. Cancel keeps what was "
                        "drawn.",
            search_aliases=["xy plot", "x/y/z plot", "which checkpoint", "lora strength test", "compare loras",
                            "lora comparison", "epoch grid", "best strength"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                io.Model.Input("model", tooltip="The model without the LoRAs."),
                io.String.Input("loras", default="", multiline=True, tooltip=LORAS),
                io.String.Input("strengths", default="0.5, 0.75, 1", tooltip="Strengths to compare, with commas."),
                io.String.Input("blocks", default="", multiline=True, tooltip=BLOCKS),
                io.Int.Input("seeds", default=1, min=1, max=4096,
                             tooltip="How many pictures of each prompt judge a setting; the first is shown."),
                *sampling_inputs(),
                io.LoraModel.Input("lora", optional=True, tooltip="One more LoRA, from memory, such as one from Train "
                                                                  "LoRA; it is the first row."),
                io.String.Input("rubric", default="", multiline=True, optional=True, tooltip=RUBRIC),
                ReferenceType.Input("reference", optional=True, tooltip=REFERENCE),
                ReferenceType.Input("style", optional=True,
                                    tooltip="A style, such as the training pictures, from Critique Reference: every "
                                            "setting gets its likeness to it."),
                io.Combo.Input("best_by", options=["score", "likeness"], default="score", optional=True,
                               tooltip="What the best setting is best in; likeness needs style."),
                devices_input(),
            ],
            outputs=[
                io.String.Output("lora_name", tooltip="File of the best setting."),
                io.Float.Output("strength", tooltip="Its strength."),
                io.String.Output("blocks", tooltip="Its block weights, for blocks of Load LoRA."),
                io.Image.Output("best", tooltip="Its picture."),
                io.Image.Output("contact_sheet", tooltip="The grid: a row for each LoRA, a column for each strength "
                                                         "and text of block weights, the best in a blue frame, "
                                                         "what looks spoiled in an orange one."),
                io.Image.Output("images", tooltip="The picture of every setting, row by row."),
                io.String.Output("report", tooltip="Markdown: the best setting, and all of them, the best first. What "
                                                   "looks spoiled in light and colour beside the model alone is never "
                                                   "the best."),
                io.String.Output("data", tooltip="JSON, a row for each setting, for Chart."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None, strengths=None, blocks=None):
        from .. import lora_grid
        try:
            lora_grid.numbers(strengths or "1")
            lora_grid.variants(blocks or "")
        except ValueError as error:
            return str(error)
        return check_rubric(rubric)

    @classmethod
    def fingerprint_inputs(cls, loras="", **inputs):
        try:
            names = file_names(loras or "", folder_paths.get_filename_list("loras"))
        except ValueError:
            names = []      # execute says what is wrong
        return [listed_version(name) for name in names], presets.version(), interrupted.cuts(cls.hidden.unique_id)

    @classmethod
    def execute(cls, model, loras, strengths, blocks, seeds, seed, lora=None, rubric="", reference=None, style=None,
                best_by="score", devices="1", **sampling):
        from .. import lora_grid
        from ..grid_sheet import Sheet
        from ..shared_sampling import sharing
        linked = asked_of(cls.hidden, devices, loras=loras, strengths=strengths, blocks=blocks, seeds=seeds, seed=seed,
                          lora=lora, rubric=rubric, reference=reference, style=style, best_by=best_by, **sampling)
        check_numbers(seeds=(seeds, 1, inf))
        by = _judge(rubric, reference, style, best_by)
        names = file_names(loras, folder_paths.get_filename_list("loras"))
        memory = [from_memory(lora)] if lora is not None else []
        if not names and not memory:
            raise ValueError("loras: expected at least one LoRA file, or a LoRA connected to lora, got neither")
        grid = lora_grid.Grid([FROM_MEMORY] * len(memory) + names,
                              lambda row: memory[0] if row < len(memory) else listed_lora(names[row - len(memory)],
                                                                                          "loras"),
                              lora_grid.numbers(strengths), lora_grid.variants(blocks))
        lora_grid.check(grid, model)
        total = len(grid.settings)
        bar, sheet = comfy.utils.ProgressBar(total), Sheet(grid, by)
        drawing, seeds = sampling_of(**sampling), [(seed + number) % 2**64 for number in range(seeds)]
        with sharing(linked, total, lambda: drawing.answer(model)) as group:
            filled = lora_grid.fill(model, grid, drawing, seeds, by, lambda cells: _show(bar, sheet, cells), group.map)
        interrupted.note(cls.hidden.unique_id, bool(filled.ended))
        best, image = lora_grid.best(filled.cells, by), sheet.image
        text = lora_grid.report(grid, filled.cells, by, filled.ended, [group.sentence("a setting")])
        return io.NodeOutput(grid.names[best.setting.lora], best.setting.strength, best.setting.blocks,
                             best.picture.clone(), image, filled.images, text, lora_grid.data(grid, filled.cells),
                             ui=picture_and_text(cls, image, text))


def _show(bar, sheet, cells):
    sheet.update(cells)
    bar.update_absolute(len(cells), preview=preview(sheet.pixels[None]))


def _judge(rubric, reference, style, best_by):
    from ...critique.reference.distributions import paintings
    from .. import lora_grid
    from ..tuning.likeness import style as likeness_to
    if best_by == lora_grid.LIKENESS and style is None:
        raise ValueError("best_by: expected style to be connected for likeness, got none")
    reference = reference or paintings()
    return lora_grid.Judge(measurable_rubric(rubric, reference), reference,
                           likeness_to(style, reference) if style else None, best_by)
