"""The ranges of a node's inputs: the host holds what is typed to them, and not what comes over a link."""


def check_ranges(node, values: dict) -> None:
    """Raises ValueError for a number of `values`, by the names of the node's inputs, that is outside its range."""
    for slot in node.define_schema().inputs:
        least, most = getattr(slot, "min", None), getattr(slot, "max", None)
        value = values.get(slot.id)
        if least is not None and isinstance(value, (int, float)) and not least <= value <= most:
            raise ValueError(f"{slot.id}: expected {least:.10g} to {most:.10g}, got {value:.10g}.")
