"""Merging low-rank factors into weights: W' = round(W + sum_i s_i B_i A_i), each weight read and rounded once."""
from collections.abc import Sequence

import torch
from torch import Tensor

from . import dispatch
from .rounding import FORMATS, rounded

CHUNK = {"cpu": 1 << 19, "other": 1 << 24}  # elements in float32 at a time: 2 MB stay in a cache, 64 MB on any card
DTYPES = (torch.float32, *FORMATS)
SHOWS = 2.0 ** -12  # of factors that reach 2^8: a rounding error of half precision that is worth ranks of its own

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
    from .triton.merge import plan
    device = weights[0].device
    plan(weights, outs, *in_half([(up.to(device), down.to(device)) for up, down in factors]), seeds)()


def in_half(factors: Sequence[Factors]) -> tuple[list[Factors], list[int]]:
    """float16 factors whose products are 2^k times the given ones to about 2^-22, and every k.

    By more ranks: [U, u, U] @ [D; D; d], where U, D are the factors scaled and rounded and u, d what the rounding
    left; u and d are left out where no layer has any. Powers of two bring every factor to the same range."""
    largest = torch.stack([factor.abs().amax() for pair in factors for factor in pair])
    exponents = (9 - torch.frexp(largest).exponent.float()).clamp(-50, 50)
    shifts = torch.where((largest > 0) & largest.isfinite(), exponents, 0.0).view(-1, 2)
    split = [(*_halves(up, shift[0]), *_halves(down, shift[1]))
             for (up, down), shift in zip(factors, shifts, strict=True)]
    left = [torch.stack((up_low.abs().amax(), down_low.abs().amax())) for _, up_low, _, down_low in split]
    with_up, with_down = (torch.stack(left) > SHOWS).any(0).tolist()
    joined = [(torch.cat((up, *[up_low] * with_up, *[up] * with_down), 1),
               torch.cat((down, *[down] * with_up, *[down_low] * with_down)))
              for up, up_low, down, down_low in split]
    return joined, shifts.sum(1).int().tolist()


def _halves(factor: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    scaled = torch.ldexp(factor.float(), shift)
    high = scaled.half()
    return high, (scaled - high.float()).half()


def _check(weights, factors, outs) -> None:
    if len({(w.dtype, w.device) for w in (*weights, *outs)}) > 1:
        raise ValueError("weights: expected one dtype and one device, got "
                         + ", ".join(sorted({f"{w.dtype} on {w.device}" for w in (*weights, *outs)})) + ".")
    for weight, (up, down), out in zip(weights, factors, outs, strict=True):
        if weight.dtype not in DTYPES:
            raise ValueError(f"weights: expected one of {', '.join(str(d)[6:] for d in DTYPES)}, got {weight.dtype}.")
        if weight.dim() < 2 or not weight.numel():
            raise ValueError(f"weights: expected [out, in, ...] with something in it, got {list(weight.shape)}.")
        if not (weight.is_contiguous() and out.is_contiguous() and weight.shape == out.shape):
            raise ValueError("weights: expected contiguous tensors, and outs of the same shapes.")
        if (len(up), down.shape[1], up.shape[1]) != (len(weight), weight[0].numel(), len(down)) or not len(down):
            raise ValueError(f"factors: expected up @ down of {tuple(weight.flatten(1).shape)}, "
                             f"got {tuple(up.shape)} @ {tuple(down.shape)}.")
