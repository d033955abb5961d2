"""What several nodes of this room share: inputs, outputs, and what the host asks them before a run."""
from collections.abc import Mapping

from comfy_api.v0_0_2 import io

from ..applying.apply_report import block_list
from ..applying.bypass import APPLY_AS, PATCH
from ..block_weights import presets
from ..block_weights.block_language import parse
from ..file.lora_files import listed_version

WIDGET = "BOTTEGA_BLOCKS"
BLOCKS_TOOLTIP = """Weight of each block, such as: IN04=0.5; MID=0; OUT*=0.8
Names come from the model and are listed in the report. Separate by ; or new lines; the last one that fits wins.
D00-D18=1 (range), S*=0.5 (family), L12.attn=0 (part), TE.*=0 (text encoders), default=1 (the rest), # note.
=A, =B, =R, =U and =linear(0,1) are values too. The name of a preset alone, such as SDXL-INALL, and a comma vector of
an older tool work as well. Empty: every block at 1."""


def blocks_input(name: str = "blocks", tooltip: str = BLOCKS_TOOLTIP) -> io.String.Input:
    """A STRING whose editor is web/block_weights, which the page knows by this widget type."""
    return io.String.Input(name, default="", multiline=True, tooltip=tooltip, extra_dict={"widgetType": WIDGET})


def strengths() -> list:
    return [
        io.Float.Input("strength_model", default=1.0, min=-100.0, max=100.0, step=0.01,
                       tooltip="Strength on the diffusion model; multiplies the weights of its blocks. "
                               "May be negative."),
        io.Float.Input("strength_clip", default=1.0, min=-100.0, max=100.0, step=0.01,
                       tooltip="Strength on the text encoders; multiplies the weights of TE blocks. May be negative."),
    ]


def value_inputs() -> list:
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


def apply_as_input() -> io.Combo.Input:
    return io.Combo.Input("apply_as", options=list(APPLY_AS), default=PATCH, optional=True, advanced=True,
                          tooltip="patch: the LoRA goes into the model's weights. bypass: it runs beside the layers; "
                                  "no weight is changed or copied, quantised and streamed weights stay as they are, "
                                  "and another strength or block weight starts at once. A step takes a little longer.")


def combine_inputs() -> list:
    """How several LoRAs on one weight are joined; `combination_of` reads them."""
    return [
        io.Combo.Input("combine", options=["sum", "ties", "dare", "dare ties", "della", "knots"], default="sum",
                       optional=True, advanced=True,
                       tooltip="How LoRAs that change the same weight are joined. sum: added. ties: each keeps its "
                               "largest changes, and where signs differ the majority wins. dare, dare ties, della: "
                               "each loses changes at random first. knots: ties in directions that the LoRAs share. "
                               "For LoRAs that spoil each other."),
        io.Float.Input("density", default=0.5, min=0.01, max=1.0, step=0.01, optional=True, advanced=True,
                       tooltip="The share of its changes that each LoRA keeps; not used by sum."),
        io.Boolean.Input("keep_size", default=True, optional=True, advanced=True,
                         tooltip="Bring the joint change to the size that unrelated LoRAs have together; not used by "
                                 "sum."),
    ]


def combination_of(combine="sum", density=0.5, keep_size=True):
    """The Combination of those inputs. Raises ValueError for numbers out of range."""
    from ..patches.combine import Combination, check
    how = Combination(combine, density, keep_size)
    check(how)
    return how


def conflict_output() -> io.Image.Output:
    return io.Image.Output(display_name="conflict", tooltip="How much the LoRAs fight in every block: a chart, where "
                                                            "combine is not sum.")


def outputs() -> list:
    return [
        io.Model.Output(display_name="MODEL", tooltip="The model with the LoRA. Unchanged if nothing applies."),
        io.Clip.Output(display_name="CLIP", tooltip="Text encoders with the LoRA. Nothing if none came in."),
        io.String.Output(display_name="report", tooltip="What was applied, what was left out and why, and the "
                                                        "weight of every block."),
    ]


def node_ui(text: str, result=None, energies: Mapping[str, float] = {}, lora_name: str | None = None) -> dict:
    """What a node shows: its report and, for the editor of block weights, what a run on a model told of the blocks.

    lora_name: the file they are of, by the name that the host lists; None for a LoRA from memory."""
    ran = {"bottega_blocks": [block_list(result, energies)], "bottega_lora": [lora_name]} if result else {}
    return {"text": [text]} | ran


class ChecksBlocks:
    """A node whose block weights are read before anything runs."""

    @classmethod
    def validate_inputs(cls, blocks=None):
        return blocks_problem(blocks) if blocks else True


class ReadsLora(ChecksBlocks):
    """A node that runs again when its LoRA file, or the user's file of presets, is written anew."""

    @classmethod
    def fingerprint_inputs(cls, lora_name=None, **inputs):
        return version(lora_name)


def version(lora_name: str | None = None) -> tuple:
    """What fingerprint_inputs answers: changes whenever the LoRA, or the user's file of presets, is written anew."""
    return listed_version(lora_name), presets.version()


def blocks_problem(blocks: str) -> bool | str:
    """What validate_inputs answers about block weights: True, or what cannot be read."""
    try:
        presets.expand(parse(blocks))
    except ValueError as error:
        return str(error)
    return True
