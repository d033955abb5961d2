"""The `blocks` input that every node of this room shares: a STRING in the workflow."""
from comfy_api.v0_0_2 import io

WIDGET = "BOTTEGA_BLOCKS"
BLOCKS_TOOLTIP = """Weight of each block, such as: IN04=0.5; MID=0; OUT*=0.8
Names come from the model and are listed in the report. Separate by ; or new lines; the last one that fits wins.
D00-D18=1 (range), S*=0.5 (family), L12.attn=0 (part), TE.*=0 (text encoders), default=1 (the rest), # note.
=A, =B, =R, =U and =linear(0,1) are values too. The name of a preset alone, such as SDXL-INALL, and a comma vector of
an older tool work as well. Empty: every block at 1."""


def blocks_input(name: str = "blocks", tooltip: str = BLOCKS_TOOLTIP) -> io.String.Input:
    """A STRING whose editor is web/block_weights, which the page knows by this widget type."""
    return io.String.Input(name, default="", multiline=True, tooltip=tooltip, extra_dict={"widgetType": WIDGET})
