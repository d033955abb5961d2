"""Branches beside a layer that only work where their region is: one product for the plain LoRAs of all regions.

With M_r the mask of region r at the tokens of the layer, a plain LoRA adds up_r (M_r * (down_r x)) s_r. Side by side
along the rank, as [up_1 | up_2 | ...] (M * [down_1; down_2; ...] x), R regions cost what one LoRA of all their ranks
costs. Other adapters give their change for the whole picture, which is then masked.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..patches.branch import CONVOLUTIONS, Branch, Layer, is_product, with_product
from ..patches.merge import plain_factors
from .token_streams import CROSS


class RegionalBranch:
    """All regions of one layer, where `bypass.Running` expects a Branch.

    regions: the state of the call, with `masks` and `active`. members: (number of the region, its branch)."""

    def __init__(self, regions, stream: str, members: Sequence[tuple[int, Branch]]):
        self.regions, self.stream, self.members = regions, stream, list(members)
        self.others, self.plain, self._kept = [], {}, {}
        for number, branch in self.members:
            joins = plain_factors(branch.patch) is not None
            (self.plain.setdefault(branch.offset, []) if joins else self.others).append((number, branch))

    @property
    def depends(self) -> bool:
        return any(branch.depends for _, branch in self.members)

    @property
    def reads_weight(self) -> bool:
        return any(branch.reads_weight for _, branch in self.members)

    def bytes(self) -> int:
        return sum(branch.bytes() for _, branch in self.members)

    def release(self) -> None:
        self._kept.clear()
        for _, branch in self.members:
            branch.release()

    def onto(self, z: Tensor, x: Tensor, layer: Layer) -> Tensor:
        """z with the change of every region in its place."""
        now = self.regions.now()
        if self.stream == CROSS:
            return self._read_by(now.active, z, x, layer)
        whole = z
        for number, branch in self.others:
            from_here = whole if branch.reads_weight else z     # DoRA takes z for W x, which no region has changed yet
            z = z + now.weights(self.stream, (number,), z, layer) * (branch.onto(from_here, x, layer) - from_here)
        for offset in self.plain:
            inner, up = self._product(offset, x, layer, now)
            z = (with_product(z, inner, up, layer, offset) if is_product(z, x, layer) else
                 _added(z, _up(inner, up, x, layer), offset, layer))
        return z

    def _read_by(self, active: int | None, z, x, layer):
        for number, branch in self.members:
            z = branch.onto(z, x, layer) if number == active else z
        return z

    def _product(self, offset, x, layer, now):
        down, up, owners = self._side_by_side(offset, x)
        part = x.narrow(layer.channels, *offset[1:]) if offset and offset[0] == 1 else x
        inner = layer.apply(part, down)
        return inner * now.weights(self.stream, owners, inner, layer), up

    def _side_by_side(self, offset, x: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """(down [ranks, in, ...], up [out, ranks] with strengths in it, region of each rank) for x."""
        key = (offset, x.device, x.dtype)
        if key not in self._kept:
            with torch.inference_mode(False), torch.no_grad():
                self._kept[key] = self._joined(self.plain[offset], x)
        return self._kept[key]

    def _joined(self, members, x):
        factors = [(number, branch.strength, *plain_factors(branch.patch)) for number, branch in members]
        place = lambda tensor: tensor.detach().to(x.device, torch.float32, copy=True)
        down = torch.cat([place(down).flatten(1) for *_, down, _ in factors])
        up = torch.cat([place(up) * (strength * scale) for _, strength, up, _, scale in factors], 1)
        owners = tuple(number for number, *_, down, _ in factors for _ in range(len(down)))
        return down.to(x.dtype), up.to(x.dtype), owners


def _up(inner: Tensor, up: Tensor, x: Tensor, layer: Layer) -> Tensor:
    if layer.options is None:
        return F.linear(inner, up)
    return CONVOLUTIONS[x.ndim - 2](inner, up.view(*up.shape, *[1] * (x.ndim - 2)))


def _added(z: Tensor, change: Tensor, offset, layer: Layer) -> Tensor:
    if offset is None or offset[0] == 1:
        return z + change
    z = z.clone()
    z.narrow(layer.channels, *offset[1:]).add_(change)
    return z
