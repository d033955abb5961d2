import json

import comfy.utils
from comfy_api.v0_0_2 import io

from ...shared.node_display import picture_and_text
from .critique_inputs import only, reference_input, rubric_input, rubric_sentence


class CompareVersions(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaCompareVersions",
            display_name="Compare Versions",
            category="bottega/critique",
            description="Holds versions of one picture against each other, such as a sweep of CFG, sampler, LoRA "
                        "strength, upscaler or grading: what differs beside the noise of neutral edits, where, and "
                        "which versions look spoiled in light and colour.",
            search_aliases=["compare images", "a/b", "which is better", "oversaturated", "overbaked", "sweep", "diff"],
            is_output_node=True,
            is_input_list=True,
            inputs=[
                io.Image.Input("images", tooltip="Two or more versions of ONE picture: a batch, a list, or both; sizes "
                                                 "may differ, formats may not."),
                reference_input(),
                rubric_input(),
            ],
            outputs=[
                io.String.Output("report", tooltip="Markdown: which versions look spoiled or why that was not read, "
                                                   "what speaks against them, and what differs by criterion and "
                                                   "measure beside the noise of neutral edits."),
                io.Image.Output("chart", tooltip="The eight parts of light and colour of every version, the least "
                                                 "spoiled first."),
                io.Image.Output("heatmap", tooltip="One for each version after the first: where its colour differs "
                                                   "from version 1."),
                io.Image.Output("images", is_output_list=True,
                                tooltip="The versions as a list, the least spoiled first; as they came where light and "
                                        "colour could not be read."),
                io.String.Output("data", tooltip="JSON, one entry for each version in the order they came: "
                                                 "light_and_colour in log-odds, its eight parts, typicality, criteria "
                                                 "and measures. For Chart."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None):
        return rubric_sentence(only(rubric))

    @classmethod
    def execute(cls, images, reference=None, rubric=None):
        from ..compare import comparison_report, difference_pictures, versions
        from ..reference.distributions import paintings
        from ..rubric.rubric_language import parse
        held_against, asked = only(reference) or paintings(), only(rubric) or ""
        pictures = versions.each_picture(images)
        bar = comfy.utils.ProgressBar(len(pictures))
        found = versions.compare(pictures, held_against, parse(asked) if asked.strip() else None,
                                 lambda: bar.update(1))
        report, drawn = comparison_report.write(found), difference_pictures.chart(found)
        return io.NodeOutput(
            report,
            drawn,
            difference_pictures.maps(found),
            [pictures[place] for place in found.order],
            json.dumps(comparison_report.data(found)),
            ui=picture_and_text(cls, drawn, report),
        )
