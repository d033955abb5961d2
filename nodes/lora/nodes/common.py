"""Inputs and outputs that several nodes of this room share."""
from comfy_api.v0_0_2 import io

from .. import presets
from ..language import parse


def strengths() -> list:
    return [
        io.Float.Input("strength_model", default=1.0, min=-100.0, max=100.0, step=0.01,
                       tooltip="Strength on the diffusion model; multiplies the weights of its blocks. "
                               "May be negative."),
        io.Float.Input("strength_clip", default=1.0, min=-100.0, max=100.0, step=0.01,
                       tooltip="Strength on the text encoders; multiplies the weights of TE blocks. May be negative."),
    ]


def outputs() -> list:
    return [
        io.Model.Output(display_name="MODEL", tooltip="The model with the LoRA. Unchanged if nothing applies."),
        io.Clip.Output(display_name="CLIP", tooltip="Text encoders with the LoRA. Nothing if none came in."),
        io.String.Output(display_name="report", tooltip="What was applied, what was left out and why, and the "
                                                        "weight of every block."),
    ]


def problem(blocks: str) -> bool | str:
    """What validate_inputs answers about block weights: True, or what cannot be read."""
    try:
        presets.expand(parse(blocks))
    except ValueError as error:
        return str(error)
    return True
