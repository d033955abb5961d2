"""The ranges of this room's inputs, for numbers that come over a link."""
from ...shared.number_ranges import outside
from ..averaging.power_function_ema import LONGEST, SHORTEST


def check_ranges(node, values: dict) -> None:
    """Raises ValueError for a number of `values`, by the names of the node's inputs, that is outside the range of its
    widget, the largest included."""
    for slot in node.define_schema().inputs:
        value = values.get(slot.id)
        if getattr(slot, "min", None) is not None and isinstance(value, (int, float)):
            _check(outside(slot.id, value, slot.min, slot.max))


def check_length(name: str, value: float, or_zero: bool = True) -> float:
    """The length of a power-function average; with or_zero 0 stands for none. Raises ValueError for another."""
    _check(outside(name, value, SHORTEST, LONGEST, or_zero))
    return value


def _check(wrong: str) -> None:
    if wrong:
        raise ValueError(f"{wrong}.")
