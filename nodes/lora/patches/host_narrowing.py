"""A LoKr of a fused weight, of which newer hosts take the rows of one projection: those that its names tell them.

Where the file says from which row on, the host sets that on the adapter; where only names do, it finds it later.
Here it is set before, so that whoever looks at the adapter knows that it is narrowed.
"""
import copy

from comfy.weight_adapter import LoKrAdapter, lokr

from .adapter_parts import is_narrowed
from .shape_check import lokr_factors, own_problem


def as_the_host_narrows(patch, key: str, rows: int):
    """The patch with the offset that the host will find for a weight of this key with so many rows; or as it is."""
    find = getattr(lokr, "fused_qkv_row_offset", None)
    if find is None or type(patch) is not LoKrAdapter or is_narrowed(patch) or own_problem(patch):
        return patch
    first, second = lokr_factors(patch.weights)
    height, width = first[0] * second[0], first[1] * second[1]
    if height == rows:
        return patch
    offset = find(height, width, key, rows)
    offset = find(height, width, getattr(patch, "key", None) or "") if offset is None else offset
    if offset is None:
        return patch
    made = copy.copy(patch)
    made.row_offset = offset
    return made
