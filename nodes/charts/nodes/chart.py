from comfy_api.v0_0_2 import io

from ...shared.node_display import pictures
from ...shared.number_ranges import outside

THEMES = ("light", "dark")
LEAST, MOST = 128, 4096     # pixels of a side
SPEC_TOOLTIP = """What to draw, such as: radar(label=name, value=typicality)
Forms: bars, radar, waterfall, palette, blocks, loss, timeline, plane. Empty: bars.
Or your own: spread(name, dir=x) . rect(h=points, fill=kind). The help page has the whole language."""

EXAMPLE = '[{"name": "one", "value": 1}, {"name": "two", "value": 2}]'


class Chart(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaChart",
            display_name="Chart",
            category="bottega/charts",
            description="Draws rows of data: bars, radar, waterfall, palette, curves, a timeline, or a chart of your "
                        "own in a small language of graphics.",
            search_aliases=["plot", "graph", "diagram", "visualize", "bar chart", "radar", "loss graph", "gofish",
                            "palette chart", "histogram"],
            is_output_node=True,
            inputs=[
                io.String.Input("data", multiline=True, default=EXAMPLE,
                                tooltip="JSON: a list of rows, an object of columns, or the data of Art Critique and "
                                        "other nodes; frame(rows=criteria) in the spec takes what is nested in them."),
                io.String.Input("spec", multiline=True, default="bars()", tooltip=SPEC_TOOLTIP),
                io.Int.Input("width", optional=True,
                             default=960, min=LEAST, max=MOST, tooltip="Width of the picture in pixels."),
                io.Int.Input("height", optional=True, default=600, min=LEAST, max=MOST,
                             tooltip="Height of the picture in pixels; bars and waterfall grow if they must."),
                io.Combo.Input("theme", optional=True, options=list(THEMES),
                               tooltip="Dark marks on light paper, or the other way round."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The chart."),
            ],
        )

    @classmethod
    def validate_inputs(cls, spec=None):
        from ..chart_language import parse
        try:
            if spec and spec.strip():
                parse(spec)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, data, spec, width=960, height=600, theme="light"):
        from ..chart_picture import picture
        for name, value in (("width", width), ("height", height)):
            if wrong := outside(name, value, LEAST, MOST):
                raise ValueError(f"{wrong}.")
        drawn = picture(data, spec, width, height, theme)
        shown, missing = pictures(cls, [drawn])
        return io.NodeOutput(drawn, ui={**shown, "text": tuple(missing)} if missing else shown)
