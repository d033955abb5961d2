"""OFT: turns groups of outputs instead of adding to them."""
from dataclasses import dataclass

import torch

from ....kernels.lora_linear import FrozenLayer
from .base import Adapter, fitting


@dataclass(frozen=True)
class OftSettings:
    """constraint: the largest norm of Q in a layer; 0 for none."""
    constraint: float = 0.0


class Oft(Adapter):
    """W' = R^T W with R block-diagonal and orthogonal, R = (I + Q) (I - Q)^-1, Q = blocks - blocks^T (Qiu et al. 2023,
    arXiv:2306.07280; Cayley's transform).

    blocks [out / b, b, b], zero at the start, b the largest divisor of `out` that is at most the rank. The bias is not
    turned, as the host's loader has it: y' = y + (R^T - I) (y - bias), with no weight formed.
    """

    host_name = "oft"
    takes_alpha = False

    def __init__(self, layer, rank, alpha, settings: OftSettings):
        super().__init__(layer, rank, alpha, settings)
        out = layer.shape[0]
        self.size = max(number for number in range(1, min(rank, out) + 1) if out % number == 0)

    def start(self, generator):
        return {"oft_blocks": torch.zeros(self.layer.shape[0] // self.size, self.size, self.size)}

    def blocks(self) -> torch.Tensor:
        """The blocks, scaled down where their Q is longer than the constraint. Files hold these, and alpha 0: what a
        constraint in alpha means is not agreed upon."""
        blocks, constraint = self.trained["oft_blocks"], self.settings.constraint
        if not constraint:
            return blocks
        return blocks * (constraint / ((blocks - blocks.transpose(1, 2)).norm() + 1e-8)).clamp(max=1.0)

    def turn(self) -> torch.Tensor:
        """R - I = 2 Q (I - Q)^-1, [out / b, b, b] fp32; exactly zero at the start."""
        blocks = self.blocks()
        q = blocks - blocks.transpose(1, 2)
        return torch.linalg.solve(torch.eye(self.size, device=q.device) - q, 2 * q, left=False)

    def forward(self, x, base):
        y, bias = FrozenLayer.apply(x, base), self.layer.bias(x)
        last = y.movedim(1, -1) if self.layer.is_conv else y
        turned = last if bias is None else last - bias
        blocks = turned.unflatten(-1, (-1, self.size))
        moved = torch.einsum("knm,...kn->...km", self.turn().to(y.dtype), blocks).flatten(-2)
        return y + (moved.movedim(-1, 1) if self.layer.is_conv else moved)

    def change(self):
        weight = self.layer.weight(self.trained["oft_blocks"].device)
        rows = weight.unflatten(0, (-1, self.size))
        return torch.einsum("knm,kn...->km...", self.turn(), rows).flatten(0, 1)

    def file(self):
        return {"oft_blocks": self.blocks(), "alpha": torch.tensor(0.0)}

    def take(self, weights):
        if weights[1] is not None or weights[2]:
            raise ValueError("expected a plain OFT, got one with a rescale or a constraint")
        return fitting({"oft_blocks": weights[0]}, self.trained)
