"""What the nodes that take a LoRA apart share: where it comes from, and what they say of its blocks."""
import folder_paths
from comfy_api.v0_0_2 import io

from ...lora.file.lora_files import FROM_MEMORY, NO_FILE, from_memory, listed_lora

GROUPS = """Blocks to tell apart, separated by ; or new lines, such as: D00-D09; D10-D18; S*
Selectors are those of block weights: IN04,IN05 (both), L* (family), L12.attn (part).
What no group names is one by itself.
Empty: the LoRA's own blocks in at most 8 groups. each: every block by itself."""


def lora_inputs() -> list:
    return [
        io.LoraModel.Input("lora", optional=True, tooltip="The LoRA from memory, such as one from Train LoRA."),
        io.Combo.Input("lora_name", options=[NO_FILE, *folder_paths.get_filename_list("loras")], optional=True,
                       tooltip="Or the LoRA file, from the loras folders. Ignored when lora is connected."),
    ]


def groups_input():
    return io.String.Input("groups", default="", multiline=True, tooltip=GROUPS)


def strength_input():
    return io.Float.Input("strength_model", default=1.0, min=-100.0, max=100.0, step=0.01,
                          tooltip="Strength of the whole LoRA; multiplies the weights of its groups.")


def lora_file(lora, lora_name):
    """(LoraFile, its name). Raises ValueError where there is neither."""
    if lora is not None:
        return from_memory(lora), FROM_MEMORY
    if lora_name in (None, "", NO_FILE):
        raise ValueError("lora: expected a LoRA from Train LoRA, or a file chosen in lora_name, got neither")
    return listed_lora(lora_name), lora_name


def check_groups(groups: str | None) -> bool | str:
    """What `validate_inputs` answers about groups."""
    from ..block_groups import check
    try:
        check(groups or "")
    except ValueError as error:
        return str(error)
    return True
