"""Parts of a block, `D07.attn` or `J12.txt.mlp`, told from the names of its modules and the slices of fused weights."""
import re
from functools import lru_cache
from math import prod

from ...shared.text_syntax import fits

PARTS = ("attn", "mlp", "q", "k", "v", "o", "norm", "mod", "img", "txt")
Slice = tuple[int, int, int]  # dimension, start, length: how the host marks a part of a fused weight


def matches(part: str, rest: str, offset: Slice | None = None, shape: tuple[int, ...] = ()) -> bool:
    """Whether a weight belongs to a part.

    part: names of PARTS joined by dots (all must hold), or the start of a module path, in which * stands for anything.
    rest: the path from the block to the weight. offset: the slice of the weight, whose whole shape is given."""
    names = names_in(part)
    if names.issubset(PARTS):
        found = _named_parts(rest) | (_sliced_parts(rest, offset, shape) if offset else frozenset())
        return found.issuperset(names)
    return any(fits(pattern, rest.lower()) for pattern in (part.lower(), f"{part.lower()}.*"))


def fused_parts(rest: str) -> frozenset[str]:
    """The parts that lie side by side in one weight and that only a slice of it can tell apart."""
    words = _words(rest)
    if "linear" in words and rest.startswith("linear1."):
        return frozenset(("attn", "mlp", "q", "k", "v"))
    return frozenset("qkv") if "qkv" in words else frozenset("kv") if "kv" in words else frozenset()


@lru_cache(maxsize=256)
def names_in(part: str) -> frozenset[str]:
    """The names that dots join to a part, in lower case."""
    return frozenset(part.lower().split("."))


@lru_cache(maxsize=4096)
def _words(rest: str) -> frozenset[str]:
    """`attn1.to_q.weight` -> attn, to, q, weight: what names are made of, whatever an architecture joins them with."""
    return frozenset(re.findall("[a-z]+", rest.lower().replace("text_model", "")))


@lru_cache(maxsize=4096)
def _named_parts(rest: str) -> frozenset[str]:
    words = _words(rest)
    norm = any("norm" in word for word in words) or "ln" in words
    attn = any("attn" in word or "attention" in word for word in words)
    projections = {name for name in "qkv" if not norm and words & {name, f"w{name}"}}
    out = attn and not norm and not projections and not words & {"qkv", "kv"}
    found = {
        "attn": attn,
        "mlp": any(re.match("mlp|ffn?$|ffw|feedforward|densereludense", word) for word in words) or "feed" in words,
        "o": out and bool(words & {"o", "wo", "out", "proj", "output"}),
        "norm": norm,
        "mod": {"scale", "shift"} <= words or any(re.match("(mod[xc]*|modulation|ada(ln.*)?)$", w) for w in words),
        "img": bool(words & {"img", "image", "vid"}) or rest.startswith("x_block"),
        "txt": bool(words & {"txt", "text", "context", "add", "added"}),
    }
    return frozenset(projections | {name for name, holds in found.items() if holds})


def _sliced_parts(rest: str, offset: Slice, shape: tuple[int, ...]) -> frozenset[str]:
    _, start, length = offset
    fused = fused_parts(rest)
    if "mlp" in fused:  # linear1 of a single-stream block: q, k and v as wide as its input, then the MLP
        width = prod(shape[1:])
        if start >= 3 * width:
            return frozenset(("mlp",))
        return frozenset(("attn", "qkv"[start // width])) if length == width else frozenset(("attn",))
    if not fused or length == shape[0]:
        return frozenset()
    first, last = ("q" if "q" in fused else "k"), "v"
    return frozenset(first if start == 0 else last if start + length == shape[0] else "k")
