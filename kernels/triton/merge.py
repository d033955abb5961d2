"""W + up @ down for many layers in one launch, each weight read once and rounded once."""
from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .codecs import decode, encode, random_bits

FORMAT = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16",
          torch.float8_e4m3fn: "e4m3", torch.float8_e5m2: "e5m2"}
STORED = {"fp32": tl.float32, "fp16": tl.float16, "bf16": tl.int16, "e4m3": tl.uint8, "e5m2": tl.uint8}
NATIVE = {"e4m3": tl.float8e4nv, "e5m2": tl.float8e5}
ALIGNED = 16  # elements: rows and offsets of aligned layers are multiples of it


class Tile(NamedTuple):
    """A program's part of a weight, the ranks it multiplies at a time, and how it is compiled."""
    rows: int = 64
    columns: int = 128
    ranks: int = 16
    warps: int = 8


SMALL, LARGE = Tile(), Tile(128, 128, 32, 8)
LARGE_FROM = 128  # ranks: from here on the factors' traffic outweighs the smaller tile's occupancy


@triton.jit
def merge_grouped(table, owners, factors, FORMAT: tl.constexpr, STORED: tl.constexpr, NATIVE: tl.constexpr,
                  STOCHASTIC: tl.constexpr, ALIGNED: tl.constexpr, HALF: tl.constexpr,
                  ROWS: tl.constexpr, COLUMNS: tl.constexpr, RANKS: tl.constexpr):
    """One tile of one layer. table: int64 [layers, 9] of weight, out, up, down, rows, columns, rank, first tile, seed.

    up and down are places in `factors`, bf16 as int16; HALF multiplies them so, else as float32. owners: int32, the
    layer of each tile."""
    program = tl.program_id(0)
    entry = table + tl.load(owners + program) * 9
    weight = tl.load(entry).to(tl.pointer_type(STORED))
    out = tl.load(entry + 1).to(tl.pointer_type(STORED))
    up = factors + tl.multiple_of(tl.load(entry + 2), 16)
    down = factors + tl.multiple_of(tl.load(entry + 3), 16)
    height = tl.load(entry + 4).to(tl.int32)
    width = tl.load(entry + 5).to(tl.int32)
    rank = tl.multiple_of(tl.load(entry + 6).to(tl.int32), 16)
    tile = program - tl.load(entry + 7).to(tl.int32)
    if ALIGNED:
        weight, out, width = tl.multiple_of(weight, 16), tl.multiple_of(out, 16), tl.multiple_of(width, 16)

    across = tl.cdiv(width, COLUMNS)
    row = (tile // across) * ROWS + tl.arange(0, ROWS)
    first_column = (tile % across) * COLUMNS
    column = first_column + tl.arange(0, COLUMNS)
    inside = (row[:, None] < height) & (column[None, :] < width)
    place = row[:, None].to(tl.int64) * width + column[None, :]
    total = decode(tl.load(weight + place, mask=inside), FORMAT, NATIVE)
    first = 0
    while first < rank:
        ranks = first + tl.arange(0, RANKS)
        left = tl.load(up + row[:, None].to(tl.int64) * rank + ranks[None, :], mask=row[:, None] < height, other=0)
        right = tl.load(down + ranks[:, None].to(tl.int64) * width + column[None, :], mask=column[None, :] < width,
                        other=0)
        total = tl.dot(_factor(left, HALF), _factor(right, HALF), total, input_precision="ieee")
        first += RANKS
    if STOCHASTIC:
        dice = random_bits(tl.load(entry + 8), row, first_column // 2, width, ROWS, COLUMNS)
    else:
        dice = 0
    tl.store(out + place, encode(total, dice, FORMAT, NATIVE, STOCHASTIC, STORED), mask=inside)


@triton.jit
def _factor(stored, HALF: tl.constexpr):
    """bf16 as int16 -> bfloat16, or float32 for the interpreter, whose bfloat16 products are wrong."""
    if HALF:
        return stored.to(tl.bfloat16, bitcast=True)
    else:
        return (stored.to(tl.int32) << 16).to(tl.float32, bitcast=True)


def merge(weights: Sequence[Tensor], outs: Sequence[Tensor], factors: Sequence[tuple[Tensor, Tensor]],
          seeds: Sequence[int] | None) -> None:
    """Writes weight + up @ down into each out. Weights [out, ...] contiguous, of one dtype and device.

    factors: bf16 (up [out, rank], down [rank, in]), rank a multiple of 16. seeds: one a layer for stochastic
    rounding, None for the nearest."""
    layers = list(zip(weights, outs, factors, seeds or [0] * len(weights), strict=True))
    for large in (False, True):
        for aligned in (True, False):
            group = [layer for layer in layers
                     if (layer[2][1].shape[0] >= LARGE_FROM) == large and _aligned(*layer[:2]) == aligned]
            if group:
                _launch(group, LARGE if large else SMALL, aligned, seeds is not None)


def _launch(layers, tile: Tile, aligned: bool, stochastic: bool) -> None:
    weight = layers[0][0]
    name, device = FORMAT[weight.dtype], weight.device
    factors = [(_padded(up, 1, tile.ranks), _padded(down, 0, tile.ranks)) for _, _, (up, down), _ in layers]
    packed, places = _packed(factors)
    rows, tiles, total = [], [], 0
    for (w, out, _, seed), (up, down), place in zip(layers, factors, places, strict=True):
        height, width, rank = len(w), w[0].numel(), up.shape[1]
        rows.append((w.data_ptr(), out.data_ptr(), *place, height, width, rank, total, seed & 0xFFFFFFFF))
        tiles.append(triton.cdiv(height, tile.rows) * triton.cdiv(width, tile.columns))
        total += tiles[-1]
    table = torch.tensor(rows, dtype=torch.int64).to(device)
    owners = torch.repeat_interleave(torch.tensor(tiles)).to(device, torch.int32)
    on_card = weight.is_cuda
    native = on_card and name in NATIVE and torch.cuda.get_device_capability(device) >= (8, 9)
    merge_grouped[(total,)](table, owners, packed, name, NATIVE[name] if native else STORED[name], native, stochastic,
                            aligned, on_card, tile.rows, tile.columns, tile.ranks, num_warps=tile.warps)


def _packed(factors) -> tuple[Tensor, list[tuple[int, int]]]:
    """All factors in one int16 tensor, each at a multiple of ALIGNED elements, and the places of each layer's two."""
    parts, places, end = [], [], 0
    for pair in factors:
        starts = []
        for factor in pair:
            starts.append(end)
            parts.append(torch.nn.functional.pad(factor.flatten(), (0, -factor.numel() % ALIGNED)))
            end += parts[-1].numel()
        places.append(tuple(starts))
    return torch.cat(parts).view(torch.int16), places


def _padded(factor: Tensor, dim: int, multiple: int) -> Tensor:
    missing = -factor.shape[dim] % multiple
    return torch.nn.functional.pad(factor, (0, missing) if dim == 1 else (0, 0, 0, missing))


def _aligned(weight: Tensor, out: Tensor) -> bool:
    return weight[0].numel() % ALIGNED == 0 and not any(t.data_ptr() % 16 for t in (weight, out))
