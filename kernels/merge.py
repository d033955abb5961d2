"""Merging low-rank factors into weights: W' = round(W + sum_i s_i B_i A_i), each weight read and rounded once."""
from collections.abc import Sequence

import torch
from torch import Tensor

from . import dispatch
from .rounding import FORMATS, rounded

CHUNK = {"cpu": 1 << 19, "other": 1 << 24}  # elements in float32 at a time: 2 MB stay in a cache, 64 MB on any card
DTYPES = (torch.float32, *FORMATS)

Factors = tuple[Tensor, Tensor]
"""(up [out, rank], down [rank, in]), strengths and alphas in them."""


def stack(ups: Sequence[Tensor], downs: Sequence[Tensor], strengths: Sequence[float]) -> Factors:
    """LoRAs on one weight side by side along the rank: B_i [out, rank_i, ...], A_i [rank_i, in, ...] -> float32."""
    up = torch.cat([up.flatten(1).float() * s for up, s in zip(ups, strengths, strict=True)], 1)
    return up, torch.cat([down.flatten(1).float() for down in downs])


def merge(weights: Sequence[Tensor], factors: Sequence[Factors], outs: Sequence[Tensor] | None = None,
          seeds: Sequence[int] | None = None, backend: str | None = None, allow_triton: bool = True) -> list[Tensor]:
    """Every weight plus its product, in the weight's own dtype; `outs` may be the weights themselves.

    weights: contiguous [out, ...] of float32, float16, bfloat16, float8_e4m3fn or float8_e5m2, all of one dtype and
    device, and pristine: adding to a merged weight piles up roundings. seeds: one a layer for stochastic rounding,
    which depends on seed and place alone; None rounds to the nearest, ties to even. backend: "torch" or "triton",
    else the rule of `dispatch`. allow_triton: False where the host was told --disable-triton-backend.
    Raises ValueError for other dtypes, for layouts and for shapes that do not fit."""
    outs = [torch.empty_like(w) for w in weights] if outs is None else list(outs)
    _check(weights, factors, outs)
    if not weights:
        return outs
    forms = {"torch": _torch_form, "triton": _triton_form}
    dispatch.run("merge", forms, weights[0].device, backend, allow_triton, (weights, outs, factors, seeds))
    return outs


def _torch_form(weights, outs, factors, seeds) -> None:
    for number, (weight, out, (up, down)) in enumerate(zip(weights, outs, factors, strict=True)):
        seed = None if seeds is None else seeds[number]
        plane, written = weight.flatten(1), out.view(out.shape[0], -1)
        up, down = (factor.to(weight.device, torch.float32) for factor in (up, down))
        limit = CHUNK.get(weight.device.type, CHUNK["other"])
        rows = max(1, limit // plane.shape[1])
        for first in range(0, len(plane), rows):
            part = slice(first, first + rows)
            total = torch.addmm(plane[part].float(), up[part], down)
            written[part] = rounded(total, weight.dtype, seed, first)


def _triton_form(weights, outs, factors, seeds) -> None:
    from .triton.merge import merge as merge_on_card
    packed = [exact_bf16(up.to(weights[0].device), down.to(weights[0].device)) for up, down in factors]
    merge_on_card(weights, outs, packed, seeds)


def exact_bf16(up: Tensor, down: Tensor) -> Factors:
    """bfloat16 factors with the same product to about 2^-17, by more ranks: [U, u, U] @ [D; D; d].

    U, D are the factors rounded and u, d what the rounding left; d is left out where nothing is left."""
    up_high, down_high = up.bfloat16(), down.bfloat16()
    up_low = (up.float() - up_high.float()).bfloat16()
    down_low = (down.float() - down_high.float()).bfloat16()
    ups, downs = [up_high], [down_high]
    if up_low.any():
        ups, downs = [*ups, up_low], [*downs, down_high]
    if down_low.any():
        ups, downs = [*ups, up_high], [*downs, down_low]
    return torch.cat(ups, 1), torch.cat(downs)


def _check(weights, factors, outs) -> None:
    if len({(w.dtype, w.device) for w in (*weights, *outs)}) > 1:
        raise ValueError("weights: expected one dtype and one device, got "
                         + ", ".join(sorted({f"{w.dtype} on {w.device}" for w in (*weights, *outs)})) + ".")
    for weight, (up, down), out in zip(weights, factors, outs, strict=True):
        if weight.dtype not in DTYPES:
            raise ValueError(f"weights: expected one of {', '.join(str(d)[6:] for d in DTYPES)}, got {weight.dtype}.")
        if not (weight.is_contiguous() and out.is_contiguous() and weight.shape == out.shape):
            raise ValueError("weights: expected contiguous tensors, and outs of the same shapes.")
        if (len(up), down.shape[1], up.shape[1]) != (len(weight), weight[0].numel(), len(down)):
            raise ValueError(f"factors: expected up @ down of {tuple(weight.flatten(1).shape)}, "
                             f"got {tuple(up.shape)} @ {tuple(down.shape)}.")
