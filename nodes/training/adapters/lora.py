"""LoRA and LoCon, with rank-stabilised scaling and a start from the principal components."""
from dataclasses import dataclass

import torch

from ....kernels.lora_linear import LoraConv, LoraLinear
from .base import Adapter, fitting

UP, DOWN = "lora_up.weight", "lora_down.weight"
OVERSAMPLED, POWER_STEPS = 8, 4     # of the range finder


@dataclass(frozen=True)
class LoraSettings:
    """rank_stabilised: scale alpha / sqrt(rank) instead of alpha / rank. pissa: start from the principal components."""
    rank_stabilised: bool = False
    pissa: bool = False


class Lora(Adapter):
    """W' = W + scale * up @ down (Hu et al. 2021, arXiv:2106.09685); on convolutions LoCon (Yeh et al. 2023,
    arXiv:2309.14859), whose down has the layer's kernel and whose up is 1 x 1.

    down [rank, in, *kernel] uniform in +-1/sqrt(fan in) (kaiming_uniform_ with a = sqrt(5)), up [out, rank] zero.
    rank_stabilised: scale = alpha / sqrt(rank) (Kalajdzievski 2023, arXiv:2312.03732), written as an alpha that makes
    the host's alpha / rank the same number.
    pissa: up0 @ down0 are W's first `rank` principal components (Meng et al. 2024, arXiv:2404.02948) and what is
    trained is their change, W' = W + scale * ((up0 + up) @ (down0 + down) - up0 @ down0), which is a LoRA of twice the
    rank: [up, up0] @ [down0 + down; down]. In this form nothing cancels, and the start is exact in any precision.
    """

    host_name = "lora"
    late = ("up",)
    takes_rank_dropout = True

    def __init__(self, layer, rank, alpha, settings: LoraSettings):
        super().__init__(layer, rank, alpha, settings)
        if settings.rank_stabilised:
            self.scale = alpha / rank ** 0.5

    def start(self, generator):
        out, *fan = self.layer.shape
        size = torch.Size(fan).numel()
        down = (torch.rand(self.rank, size, generator=generator) * 2 - 1) / size ** 0.5
        if self.settings.pissa:
            up0, down0 = principal_factors(self.layer.weight("cpu").flatten(1), self.rank, generator)
            self.origin = {"up": up0 / self.scale ** 0.5, "down": (down0 / self.scale ** 0.5).view(self.rank, *fan)}
            down.zero_()
        return {"down": down.view(self.rank, *fan), "up": torch.zeros(out, self.rank)}

    def forward(self, x, base):
        return self._scaled(x, base, self.scale)

    def at(self, x, base, strength):
        return self._scaled(x, base, strength * self.scale)

    def _scaled(self, x, base, scale):
        up, down = self.factors(self.kept_ranks)
        if not self.layer.is_conv:
            return LoraLinear.apply(x, down, up, scale, base)
        return LoraConv.apply(x, down, up, scale, base, *self.layer.conv.values())

    def factors(self, kept: torch.Tensor | None = None):
        """up [out, r] and down [r, in, *kernel] of the branch; r is twice the rank with PiSSA. kept [rank]: dropout."""
        up, down = self.trained["up"], self.trained["down"]
        drop = (lambda up: up) if kept is None else (lambda up: up * kept)
        if self.origin is None:
            return drop(up), down
        up0, down0 = (self.origin[name].to(up.device) for name in ("up", "down"))
        return torch.cat([drop(up), drop(up0)], 1), torch.cat([down0 + down, down])

    def change(self):
        up, down = self.factors()
        return self.scale * (up @ down.flatten(1)).view(self.layer.shape)

    def file(self):
        up, down = self.factors()
        alpha = torch.tensor(float(self.scale * up.shape[1]))
        return {UP: up.view(*up.shape, *[1] * (down.ndim - 2)), DOWN: down, "alpha": alpha}

    def take(self, weights):
        up, down, alpha, mid, _, reshape = weights
        if mid is not None or reshape is not None:
            raise ValueError("expected a plain LoRA, got one with a Tucker core or another size")
        up, down = up.flatten(1).float(), down.float()
        up = up * ((1.0 if alpha is None else alpha / down.shape[0]) / self.scale)
        if self.origin is not None and down.shape[0] == 2 * self.rank:
            self.origin = {"up": up[:, self.rank:], "down": down[:self.rank] - down[self.rank:]}
            self.origin["down"] = self.origin["down"].reshape(self.rank, *self.layer.shape[1:])
            up, down = up[:, :self.rank], down[self.rank:]
        return fitting({"up": up, "down": down}, {name: self.trained[name] for name in ("up", "down")})


def principal_factors(weight: torch.Tensor, rank: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The principal components of a weight [out, in] by a randomised range finder: up [out, rank] and down [rank, in],
    whose product is near the best approximation of that rank.

    Singular values are shared evenly. Halko, Martinsson & Tropp 2011, algorithms 4.4 and 5.1. Raises ValueError for a
    rank above the weight's smaller side."""
    if rank > min(weight.shape):
        raise ValueError(f"rank: a PiSSA start has at most a weight's smaller side, {min(weight.shape)}; got {rank}.")
    width = min(rank + OVERSAMPLED, *weight.shape)
    basis = torch.linalg.qr(weight @ torch.randn(weight.shape[1], width, generator=generator).to(weight.device)).Q
    for _ in range(POWER_STEPS):
        basis = torch.linalg.qr(weight @ torch.linalg.qr(weight.t() @ basis).Q).Q
    left, values, right = torch.linalg.svd(basis.t() @ weight, full_matrices=False)
    root = values[:rank].sqrt()
    return (basis @ left[:, :rank]) * root, root[:, None] * right[:rank]
