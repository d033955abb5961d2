"""What a training state holds, checked before any of it is used: a damaged file is one sentence."""
import math
from typing import Any

import torch

LARGEST = 2 ** 63
OPTIONAL = "?"


def check_state(state: Any, where: str) -> None:
    """Raises ValueError, which names the first part of the state `where` that is not what a session writes there."""
    _expect(state, STATE, "its tree", where)
    steps = state["step"]
    for name in ("losses", "rates"):
        _judge(len(state[name]) == steps, name, where, f"one number for each of its {steps} steps")


def check_fits(state: dict[str, Any], where: str, numbers: int, drawn: int, pictures: int) -> None:
    """Raises ValueError where a checked state is not one of a session with so many trained numbers, drawn ones
    that they are changes of, and pictures; pictures is 0 where the order of the data begins anew."""
    sized = {"weights": state["weights"], "average": (state["average"] or {}).get("mean"),
             "second_average": (state.get("second_average") or {}).get("mean"),
             "critique": (state.get("critique") or {}).get("weights")}
    for name, values in sized.items():
        _judge(values is None or values.numel() == numbers, name, where, f"{numbers} numbers")
    kept = state.get("origin")
    _judge(kept is None or kept.numel() == drawn, "origin", where, f"{drawn} numbers")
    shown = (picture for batch in state["cursor"]["order"] for picture in batch)
    _judge(not pictures or all(0 <= picture < pictures for picture in shown), "cursor.order", where,
           f"pictures of a data set of {pictures}")
    strata = state.get("strata", LARGEST)
    _judge(all(stratum < strata for stratum in state["cursor"]["strata"]), "cursor.strata", where,
           f"ranges of noise below {strata}")


def _whole(value) -> bool:
    """a whole number of at least 0"""
    return type(value) is int and 0 <= value < LARGEST


def _number(value) -> bool:
    """a finite number"""
    return type(value) in (int, float) and abs(value) < LARGEST and math.isfinite(value)


def _measure(value) -> bool:
    """a number, which of a loss may be none"""
    return type(value) in (int, float)


def _text(value) -> bool:
    """a text"""
    return isinstance(value, str)


def _flat(dtype):
    def check(value):
        return (isinstance(value, torch.Tensor) and value.dtype is dtype and value.ndim == 1
                and (not dtype.is_floating_point or bool(value.isfinite().all())))
    check.__doc__ = f"a row of finite {dtype}".replace("torch.", "")
    return check


def _generator(value) -> bool:
    """the state of a generator"""
    own = torch.Generator().get_state()
    return isinstance(value, torch.Tensor) and value.dtype is own.dtype and value.shape == own.shape


def _optimizer(value) -> bool:
    """an optimizer's state and param_groups"""
    return isinstance(value, dict) and isinstance(value.get("state"), dict) and isinstance(
        value.get("param_groups"), list) and all(isinstance(group, dict) and isinstance(group.get("params"), list)
                                                 for group in value["param_groups"])


def _order(value) -> bool:
    """batches of pictures"""
    if isinstance(value, torch.Tensor):
        return (value.dtype is torch.int64 and value.ndim == 2 and value.shape[1] > 0
                and bool((value >= -1).all() and (value[:, 0] >= 0).all()))
    return isinstance(value, (list, tuple)) and all(
        isinstance(batch, (list, tuple)) and batch and all(map(_whole, batch)) for batch in value)


def _seed(value) -> bool:
    """a whole number of 64 bits"""
    return type(value) is int and -LARGEST <= value < 2 * LARGEST


def _flag(value) -> bool:
    """true or false"""
    return isinstance(value, bool)


def _texts(value) -> bool:
    """texts by name"""
    return isinstance(value, dict) and all(_text(name) and _text(each) for name, each in value.items())


class _Maybe:
    def __init__(self, schema):
        self.schema = schema


class _Row:
    """A tuple of just these."""
    def __init__(self, *schemas):
        self.schemas = schemas


AVERAGE = {"mean": _flat(torch.float32), "updates": _whole, "exponent" + OPTIONAL: _number}
STATE = {
    "step": _whole, "seconds": _number, "losses": _flat(torch.float64), "rates": _flat(torch.float64),
    "validated": [_Row(_whole, _measure, [_measure])], "weights": _flat(torch.float32),
    "origin" + OPTIONAL: _flat(torch.float32), "optimizer": [_optimizer],
    "average": _Maybe(AVERAGE), "second_average" + OPTIONAL: _Maybe(AVERAGE),
    "cursor": {"generator": _generator, "order": _order, "strata": [_whole]},
    "identity": {name: _text for name in ("model", "kind", "adapters", "algorithm", "dataset", "optimizer",
                                          "prediction" + OPTIONAL, "base_lora" + OPTIONAL, "scale" + OPTIONAL,
                                          "layout" + OPTIONAL, "held_out" + OPTIONAL)},
    "batch_size": _whole, "seed": _seed, "strata" + OPTIONAL: _whole,
    "critique" + OPTIONAL: _Maybe({"critic": _text, "judged": [_Row(_whole, _measure, [_measure])], "step": _whole,
                                   "weights": _Maybe(_flat(torch.float32))}),
    "memory": {"rows": _Maybe(_whole), "checkpoint": _flag},
    "aim" + OPTIONAL: _texts,
}
"""Names that end in OPTIONAL may be missing, as in states of earlier versions."""


def _expect(value, schema, place, where) -> None:
    if isinstance(schema, _Maybe):
        if value is not None:
            _expect(value, schema.schema, place, where)
    elif isinstance(schema, dict):
        _judge(isinstance(value, dict), place, where, "parts by name")
        for name, part in schema.items():
            key = name.removesuffix(OPTIONAL)
            if key in value or not name.endswith(OPTIONAL):
                _judge(key in value, key, where, "to be there")
                _expect(value[key], part, key, where)
    elif isinstance(schema, list):
        _judge(isinstance(value, (list, tuple)), place, where, "a list")
        for each in value:
            _expect(each, schema[0], place, where)
    elif isinstance(schema, _Row):
        _judge(isinstance(value, (list, tuple)) and len(value) == len(schema.schemas), place, where,
               f"rows of {len(schema.schemas)}")
        for each, part in zip(value, schema.schemas, strict=True):
            _expect(each, part, place, where)
    else:
        _judge(schema(value), place, where, schema.__doc__)


def _judge(fits: bool, place: str, where: str, expected: str) -> None:
    if not fits:
        raise ValueError(f"resume: {where} is damaged: expected {place} to hold {expected}, as a training state does.")
