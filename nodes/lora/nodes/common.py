"""What several nodes of this room share: inputs, outputs, and what the host asks them before a run."""
from collections.abc import Mapping

from comfy_api.v0_0_2 import io

from ..applying.report import block_list
from ..block_weights import presets
from ..block_weights.language import parse
from ..file.files import listed_version


def strengths() -> list:
    return [
        io.Float.Input("strength_model", default=1.0, min=-100.0, max=100.0, step=0.01,
                       tooltip="Strength on the diffusion model; multiplies the weights of its blocks. "
                               "May be negative."),
        io.Float.Input("strength_clip", default=1.0, min=-100.0, max=100.0, step=0.01,
                       tooltip="Strength on the text encoders; multiplies the weights of TE blocks. May be negative."),
    ]


def reading() -> list:
    """How block weights are read: values.Settings as inputs, which came later than the others and may be left out."""
    return [
        io.Combo.Input("vector_mode", options=["named", "inspire"], default="named", optional=True, advanced=True,
                       tooltip="How a comma vector is read. named: by its length, as the blocks it was made for. "
                               "inspire: by position over the blocks that the file contains, as the Inspire Pack reads "
                               "it, so that an old workflow gives the same picture."),
        io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, optional=True, advanced=True,
                     control_after_generate=io.ControlAfterGenerate.fixed,
                     tooltip="Where the letters R (0 to 3) and U (-1.5 to 1.5) in blocks draw their numbers from."),
        io.Float.Input("a", default=4.0, min=-100.0, max=100.0, step=0.01, optional=True, advanced=True,
                       tooltip="What the letter A in blocks stands for; a small a is half of it."),
        io.Float.Input("b", default=1.0, min=-100.0, max=100.0, step=0.01, optional=True, advanced=True,
                       tooltip="What the letter B in blocks stands for; a small b is half of it."),
    ]


def outputs() -> list:
    return [
        io.Model.Output(display_name="MODEL", tooltip="The model with the LoRA. Unchanged if nothing applies."),
        io.Clip.Output(display_name="CLIP", tooltip="Text encoders with the LoRA. Nothing if none came in."),
        io.String.Output(display_name="report", tooltip="What was applied, what was left out and why, and the "
                                                        "weight of every block."),
    ]


def shown(text: str, outcome=None, energies: Mapping[str, float] = {}) -> dict:
    """What a node shows: its report and, for the editor of block weights, what a run on a model told of the blocks."""
    return {"text": [text]} | ({"bottega_blocks": [block_list(outcome, energies)]} if outcome else {})


class ChecksBlocks:
    """A node whose block weights are read before anything runs."""

    @classmethod
    def validate_inputs(cls, blocks=None):
        return problem(blocks) if blocks else True


class ReadsLora(ChecksBlocks):
    """A node that runs again when its LoRA file, or the user's file of presets, is written anew."""

    @classmethod
    def fingerprint_inputs(cls, lora_name=None, **inputs):
        return version(lora_name)


def version(lora_name: str | None = None) -> tuple:
    """What fingerprint_inputs answers: changes whenever the LoRA, or the user's file of presets, is written anew."""
    return listed_version(lora_name), presets.version()


def problem(blocks: str) -> bool | str:
    """What validate_inputs answers about block weights: True, or what cannot be read."""
    try:
        presets.expand(parse(blocks))
    except ValueError as error:
        return str(error)
    return True
