"""W + up @ down for many layers in one launch, each weight read once and rounded once."""
from collections.abc import Callable, Sequence
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
                  STOCHASTIC: tl.constexpr, ALIGNED: tl.constexpr, ROWS: tl.constexpr,
                  COLUMNS: tl.constexpr, RANKS: tl.constexpr):
    """One tile of one layer. table: int64 [layers, 10] of weight, out, up, down, rows, columns, rank, first tile,
    seed, shift; up and down are places in `factors`, float16, whose product is 2 ** shift times what is added.
    owners: int32, the layer of each tile."""
    program = tl.program_id(0)
    entry = table + tl.load(owners + program) * 10
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
    shift = tl.load(entry + 9).to(tl.int32)
    total = decode(tl.load(weight + place, mask=inside), FORMAT, NATIVE) * _power_of_two(shift)
    first = 0
    while first < rank:
        ranks = first + tl.arange(0, RANKS)
        left = tl.load(up + row[:, None].to(tl.int64) * rank + ranks[None, :], mask=row[:, None] < height, other=0.0)
        right = tl.load(down + ranks[:, None].to(tl.int64) * width + column[None, :], mask=column[None, :] < width,
                        other=0.0)
        total = tl.dot(left, right, total, input_precision="ieee")
        first += RANKS
    total = total * _power_of_two(-shift)
    if STOCHASTIC:
        noise = random_bits(tl.load(entry + 8), row, first_column // 2, width, ROWS, COLUMNS)
    else:
        noise = 0
    tl.store(out + place, encode(total, noise, FORMAT, NATIVE, STOCHASTIC, STORED), mask=inside)


@triton.jit
def _power_of_two(exponent):
    return ((127 + exponent) << 23).to(tl.float32, bitcast=True)


def plan(weights: Sequence[Tensor], outs: Sequence[Tensor], factors: Sequence[tuple[Tensor, Tensor]],
         shifts: Sequence[int], seeds: Sequence[int] | None) -> Callable[[], None]:
    """Packs the factors and returns what writes weight + up @ down / 2^shift into each out, as often as it is called.

    Weights [out, ...] contiguous, of one dtype and device; factors float16 (up [out, rank], down [rank, in]); shifts:
    one a layer, -126 < shift < 127; seeds: one a layer for stochastic rounding, None for the nearest. At most four
    launches, one for each pair of tile size and alignment. The plan keeps the addresses of weights
    and outs, and holds on to both."""
    layers = list(zip(weights, outs, factors, seeds or [0] * len(weights), shifts, strict=True))
    groups = {}
    for layer in layers:
        large = layer[2][1].shape[0] >= LARGE_FROM
        groups.setdefault((large, _aligned(*layer[:2])), []).append(layer)
    launches = [_launch(group, LARGE if large else SMALL, aligned, seeds is not None)
                for (large, aligned), group in groups.items()]

    def run():
        for launch in launches:
            launch()

    return run


def _launch(layers, tile: Tile, aligned: bool, stochastic: bool) -> Callable[[], None]:
    weight = layers[0][0]
    device = weight.device
    factors = [(_padded(up, 1, tile.ranks), _padded(down, 0, tile.ranks)) for _, _, (up, down), *_ in layers]
    packed, places = _packed(factors)
    rows, tiles = [], []
    for (w, out, _, seed, shift), (up, _), place in zip(layers, factors, places, strict=True):
        height, width = len(w), w[0].numel()
        rows.append((w.data_ptr(), out.data_ptr(), *place, height, width, up.shape[1], sum(tiles), seed & 0xFFFFFFFF,
                     shift))
        tiles.append(triton.cdiv(height, tile.rows) * triton.cdiv(width, tile.columns))
    table = torch.tensor(rows, dtype=torch.int64).to(device)
    owners = torch.repeat_interleave(torch.tensor(tiles)).to(device, torch.int32)
    constants = _constants(weight, stochastic, aligned, tile)

    def launch():
        merge_grouped[(len(owners),)](table, owners, packed, **constants, num_warps=tile.warps)
        return layers  # held, because the table knows addresses only

    return launch


def _constants(weight: Tensor, stochastic: bool, aligned: bool, tile: Tile) -> dict:
    name = FORMAT[weight.dtype]
    native = weight.is_cuda and name in NATIVE and torch.cuda.get_device_capability(weight.device) >= (8, 9)
    return dict(FORMAT=name, STORED=(NATIVE if native else STORED)[name], NATIVE=native, STOCHASTIC=stochastic,
                ALIGNED=aligned, ROWS=tile.rows, COLUMNS=tile.columns, RANKS=tile.ranks)


def _packed(factors) -> tuple[Tensor, list[tuple[int, int]]]:
    """All factors in one tensor, each at a multiple of ALIGNED elements, and the places of each layer's two."""
    parts, places, end = [], [], 0
    for pair in factors:
        starts = []
        for factor in pair:
            starts.append(end)
            parts.append(torch.nn.functional.pad(factor.flatten(), (0, -factor.numel() % ALIGNED)))
            end += parts[-1].numel()
        places.append(tuple(starts))
    return torch.cat(parts), places


def _padded(factor: Tensor, dim: int, multiple: int) -> Tensor:
    missing = -factor.shape[dim] % multiple
    return torch.nn.functional.pad(factor, (0, missing) if dim == 1 else (0, 0, 0, missing))


def _aligned(weight: Tensor, out: Tensor) -> bool:
    return weight[0].numel() % ALIGNED == 0 and not any(t.data_ptr() % 16 for t in (weight, out))
