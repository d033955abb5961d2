"""Numbers that came over a link: the host holds to a node's ranges what is typed, and nothing else."""
from math import inf


def outside(name: str, value: float, least: float, most: float = inf, or_zero: bool = False) -> str:
    """What is wrong with the number of the input `name`, without a full stop: "" for one from `least` to `most`, both
    included, and with or_zero for 0. What is no number (NaN) is outside."""
    if least <= value <= most or or_zero and value == 0:
        return ""
    expected = f"{least:.10g} or more" if most == inf else f"{least:.10g} to {most:.10g}"
    return f"{name}: expected {'0, or ' if or_zero else ''}{expected}, got {value:.10g}"
