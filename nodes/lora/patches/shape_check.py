"""The shape of the change that a patch of the host makes, worked out before it is applied.

The host finds a wrong shape only while it merges, logs it, and goes on.
"""
from math import prod

from comfy import weight_adapter
from torch import Tensor, broadcast_shapes

from .adapter_parts import POSITIONS, is_config, is_narrowed
from .peft_dora import PeftDora

Shape = tuple[int, ...]
NO_PRODUCT: Shape = (0,)
PEFT_DORA = ("up", "down", "alpha", "magnitude")


def problem(patch, weight: Shape, offset: Shape | None = None) -> str:
    """Why a patch, as comfy.lora.load_lora gives it, cannot change a weight of this shape; "" when it can.

    offset: the slice (dimension, start, length) of the weight that the patch is for."""
    if offset:
        dim, start, length = offset
        if start + length > weight[dim]:
            return f"the host looks for rows {start} to {start + length}, the model has {weight[dim]}"
        weight = (*weight[:dim], length, *weight[dim + 1:])
    if is_config(patch):
        return ""
    if isinstance(patch, tuple):
        return "" if patch[1][0].shape == weight else _mismatch(patch[1][0].shape, weight)
    try:
        if is_narrowed(patch):
            return _narrowed(patch, weight)
        return _PROBLEMS[type(patch)](patch.weights, weight) if type(patch) in _PROBLEMS else ""
    except (AttributeError, IndexError):  # a matrix is missing, or is a vector
        return f"the {patch.name} lacks a part, or a part has too few dimensions"


def own_problem(patch) -> str:
    """Why the parts of a patch make no change of any weight; "" where they fit each other, and for a whole tensor."""
    if type(patch) not in _OWN:
        return ""
    named = dict(zip(POSITIONS.get(type(patch), PEFT_DORA), patch.weights, strict=False))
    shapes = {name: tuple(part.shape) for name, part in named.items() if isinstance(part, Tensor)}
    try:
        fits = shapes.get("dora_scale") != () and _OWN[type(patch)](patch.weights)
    except (AttributeError, IndexError):  # a matrix is missing, or is a vector
        fits = False
    told = ", ".join(f"{name} {_text(shape) or 'a number'}" for name, shape in shapes.items())
    return "" if fits else f"the parts of the {patch.name} do not fit together: {told}"


def _mismatch(change: Shape, weight: Shape) -> str:
    if change == NO_PRODUCT:
        return "the parts of the adapter do not fit together"
    return f"the LoRA has {_text(change)}, {_model(weight)}"


def _model(weight: Shape) -> str:
    return f"the model {_text(weight)}"


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _compare(change: Shape, weight: Shape, dora_scale=None) -> str:
    """The host reshapes a change to the weight, so 1x1 kernels and flat matrices are as good as each other."""
    if change[0] != weight[0] or prod(change) != prod(weight):
        return _mismatch(change, weight)
    return _dora(dora_scale, weight)


def _dora(scale, weight: Shape) -> str:
    """The host divides the scale by the norms of rows, if it has as many, else of columns, and multiplies by both."""
    if scale is None:
        return ""
    norms = (weight[0], *[1] * (len(weight) - 1)) if scale.shape[0] == weight[0] else (1, *weight[1:2])
    norms = (*norms, *[1] * (len(weight) - len(norms)))
    return "" if _fits(scale.shape, norms, weight) else f"the DoRA scale has {_text(scale.shape)}, {_model(weight)}"


def _fits(*shapes: Shape) -> bool:
    """Whether the shapes broadcast to the last of them."""
    try:
        return broadcast_shapes(*shapes) == shapes[-1]
    except RuntimeError:
        return False


def _product(a, b) -> Shape:
    """The shape of a @ b, with a's kernel flattened."""
    return (a.shape[0], *b.shape[1:]) if prod(a.shape[1:]) == b.shape[0] else NO_PRODUCT


def _tucker(core, out, into) -> Shape:
    """The shape of a core tensor [i, j, kernel] with factors [i, out] and [j, in]."""
    fits = core.ndim == 4 and core.shape[:2] == (len(out), len(into))
    return (out.shape[1], into.shape[1], *core.shape[2:]) if fits else NO_PRODUCT


def _lora(weights, weight: Shape) -> str:
    up, down, _, mid, dora_scale, reshape = weights
    if reshape is not None:
        if len(reshape) != len(weight) or any(new < old for new, old in zip(reshape, weight, strict=True)):
            return f"the LoRA enlarges the weight to {_text(reshape)}, the model has {_text(weight)}"
        weight = tuple(reshape)
    return _compare(_lora_change(up, down, mid), weight, dora_scale)


def _lora_change(up, down, mid) -> Shape:
    if mid is None:
        return _product(up, down)
    fits = mid.ndim == 4 and prod(up.shape[1:]) == down.shape[0] == mid.shape[0] == mid.shape[1]
    return (up.shape[0], down.shape[1], *mid.shape[2:]) if fits else NO_PRODUCT


def _loha(weights, weight: Shape) -> str:
    first, second = _loha_factors(weights)
    return _compare(first, weight, weights[7]) or _compare(second, weight)


def _loha_factors(weights) -> tuple[Shape, Shape]:
    w1_a, w1_b, _, w2_a, w2_b, t1, t2, _ = weights
    return (_product(w1_a, w1_b) if t1 is None else _tucker(t1, w1_a, w1_b),
            _product(w2_a, w2_b) if t1 is None else _tucker(t2, w2_a, w2_b))


def _lokr(weights, weight: Shape) -> str:
    first, second = lokr_factors(weights)
    return _compare((first[0] * second[0], first[1] * second[1], *second[2:]), weight, weights[8])


def lokr_factors(weights) -> tuple[Shape, Shape]:
    """The shapes of the two matrices of a LoKr, of which the change is the Kronecker product."""
    w1, w2, _, w1_a, w1_b, w2_a, w2_b, t2, _ = weights
    first = _product(w1_a, w1_b) if w1 is None else tuple(w1.shape)
    second = tuple(w2.shape) if w2 is not None else _product(w2_a, w2_b) if t2 is None else _tucker(t2, w2_a, w2_b)
    return first, second


def _narrowed(patch, weight: Shape) -> str:
    """A LoKr of a fused weight, of which the host takes as many rows as the weight has, from row_offset on."""
    taller = (patch.row_offset + weight[0], *weight[1:])
    parts = patch.weights
    whole = _lokr((*parts[:-1], None), (_rows(parts), *weight[1:]))
    return whole or ("" if _rows(parts) >= taller[0] else f"the LoKr has {_rows(parts)} rows, and the host takes rows "
                     f"{patch.row_offset} to {taller[0]} of them")


def _rows(lokr) -> int:
    w1, w2, _, w1_a, _, w2_a, _, t2, _ = lokr
    second = len(w2) if w2 is not None else len(w2_a) if t2 is None else w2_a.shape[1]
    return len(w1 if w1 is not None else w1_a) * second


def _glora(weights, weight: Shape) -> str:
    a1, a2, b1, b2, _, dora_scale = weights
    if b2.shape[0] == b1.shape[1] == a1.shape[1] == a2.shape[0]:  # the host's own test for the present format
        inner, change = a1.shape[0] == weight[1] == prod(a2.shape[1:]), _product(b1, b2)
    else:
        inner, change = a2.shape[0] == prod(weight[1:]) == prod(a1.shape[1:]), _product(b2, b1)
    return _compare(change if inner else NO_PRODUCT, weight, dora_scale)


def _oft(weights, weight: Shape) -> str:
    blocks, size, columns = weights[0].shape
    if size != columns:
        return f"the OFT has matrices of {size}x{columns}, which must be square"
    if blocks * size != weight[0]:
        return f"the OFT turns {blocks * size} rows, the model has {weight[0]}"
    return _dora(weights[3], weight)


def _boft(weights, weight: Shape) -> str:
    if weights[2] is None:
        return "a BOFT without alpha, which the host does not apply"
    steps, blocks, size = weights[0].shape[:3]
    if weight[0] % (size << (steps - 1)):
        return f"the BOFT mixes groups of {size << (steps - 1)} rows, the model has {weight[0]}"
    rescale = weights[1]
    if rescale is not None and not _fits(rescale.shape, weight):
        return f"the BOFT rescales {_text(rescale.shape)}, {_model(weight)}"
    return _oft((weights[0][0], *weights[1:]), weight)


def _peft_dora(weights, weight: Shape) -> str:
    up, down, _, magnitude = weights
    if magnitude.numel() != weight[0]:
        return f"the DoRA magnitude has {_text(magnitude.shape)}, {_model(weight)}"
    return _compare(_product(up, down), weight)


_PROBLEMS = {
    PeftDora: _peft_dora,
    weight_adapter.LoRAAdapter: _lora,
    weight_adapter.LoHaAdapter: _loha,
    weight_adapter.LoKrAdapter: _lokr,
    weight_adapter.GLoRAAdapter: _glora,
    weight_adapter.OFTAdapter: _oft,
    weight_adapter.BOFTAdapter: _boft,
}


def _whole(*factors) -> bool:
    """Whether these shapes of products are those of matrices or kernels."""
    return all(len(shape) > 1 for shape in factors)


def _matrices(*parts) -> bool:
    return all(part.ndim > 1 for part in parts)


def _glora_fits(weights) -> bool:
    a1, a2, b1, b2 = weights[:4]
    if not _matrices(a1, a2, b1, b2):
        return False
    new = b2.shape[0] == b1.shape[1] == a1.shape[1] == a2.shape[0]
    return _whole(_product(b1, b2) if new else _product(b2, b1))


def _loha_fits(weights) -> bool:
    first, second = _loha_factors(weights)
    return _matrices(*weights[:2], *weights[3:5]) and _whole(first) and first == second


def _is_square(blocks, dimensions: int) -> bool:
    return blocks.ndim == dimensions and blocks.shape[-2] == blocks.shape[-1]


_OWN = {
    PeftDora: lambda w: _matrices(*w[:2]) and _whole(_product(*w[:2])) and w[3].numel() == len(w[0]),
    weight_adapter.LoRAAdapter: lambda w: _matrices(*w[:2]) and _whole(_lora_change(w[0], w[1], w[3])),
    weight_adapter.LoHaAdapter: _loha_fits,
    weight_adapter.LoKrAdapter: lambda w: (_whole(*lokr_factors(w))
                                           and _matrices(*(part for part in (w[0], *w[3:7]) if part is not None))),
    weight_adapter.GLoRAAdapter: _glora_fits,
    weight_adapter.OFTAdapter: lambda w: _is_square(w[0], 3),
    weight_adapter.BOFTAdapter: lambda w: _is_square(w[0], 4),
}
