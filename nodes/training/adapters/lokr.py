"""LoKr: the Kronecker product of a small matrix and a low-rank one."""
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F

from ....kernels.lora_linear import FrozenLayer
from ....kernels.weight_branch import CONV
from .base import Adapter, fitting


@dataclass(frozen=True)
class LokrSettings:
    """factor: upper bound of the small matrix's sides; 0 for as near to a square split as the sides allow."""
    factor: int = 0


class Lokr(Adapter):
    """W' = W + scale * kron(w1, w2) (Yeh et al. 2023, arXiv:2309.14859, LyCORIS).

    out = l * k and in = m * n: w1 [l, m] uniform in +-1/sqrt(m), w2 [k, n, *kernel] = w2_a [k, rank] @ w2_b
    [rank, n * kernel], w2_b zero; scale = alpha / rank. A rank of at least half of w2's larger side makes w2 whole,
    zero at the start, and the scale 1, as in LyCORIS. kron(w1, w2) is never formed: its product with x is w2 applied to
    m pieces of x, mixed by w1.
    """

    host_name = "lokr"

    def __init__(self, layer, rank, alpha, settings: LokrSettings):
        super().__init__(layer, rank, alpha, settings)
        out, into, *self.kernel = layer.shape
        self.l, self.k = split(out, settings.factor)
        self.m, self.n = split(into, settings.factor)
        self.whole = rank >= max(self.k, self.n) / 2
        if self.whole:
            self.scale = 1.0

    def start(self, generator):
        uniform = lambda *shape: (torch.rand(shape, generator=generator) * 2 - 1) / shape[1] ** 0.5
        w1 = {"lokr_w1": uniform(self.l, self.m)}
        if self.whole:
            return {**w1, "lokr_w2": torch.zeros(self.k, self.n, *self.kernel)}
        return {**w1, "lokr_w2_a": uniform(self.k, self.rank),
                "lokr_w2_b": torch.zeros(self.rank, self.n * prod(self.kernel))}

    def w2(self) -> torch.Tensor:
        """[k, n, *kernel], times the scale."""
        t = self.trained
        w2 = t["lokr_w2"] if self.whole else t["lokr_w2_a"] @ t["lokr_w2_b"]
        return self.scale * w2.view(self.k, self.n, *self.kernel)

    def forward(self, x, base):
        w1, w2 = self.trained["lokr_w1"].to(x.dtype), self.w2().to(x.dtype)
        branch = self._conv(x, w1, w2) if self.layer.is_conv else self._linear(x, w1, w2)
        return FrozenLayer.apply(x, base) + branch

    def _linear(self, x, w1, w2):
        pieces = F.linear(x.reshape(*x.shape[:-1], self.m, self.n), w2)
        return (w1 @ pieces).flatten(-2)

    def _conv(self, x, w1, w2):
        pieces = CONV[w2.ndim](x.reshape(-1, self.n, *x.shape[2:]), w2, **self.layer.conv)
        mixed = w1 @ pieces.view(len(x), self.m, -1)
        return mixed.view(len(x), self.l * self.k, *pieces.shape[2:])

    def change(self):
        return torch.kron(self.trained["lokr_w1"], self.w2().flatten(1)).view(self.layer.shape)

    def file(self):
        tensors = {**self.trained, "alpha": torch.tensor(float(self.alpha))}
        if self.whole and len(self.kernel) in (1, 3):  # the host lines w1 up with matrices and 2-D kernels alone
            tensors["lokr_w2"] = tensors["lokr_w2"].flatten(1)
        return tensors

    def take(self, weights):
        w1, w2, alpha, w1_a, w1_b, w2_a, w2_b, core, _ = weights
        if core is not None:
            raise ValueError("expected a plain LoKr, got one with a Tucker core")
        inner = w2_b if w2 is None else w1_b if w1 is None else None  # whose rank the host divides alpha by
        scale = 1.0 if inner is None or alpha is None else alpha / inner.shape[0]
        w1 = w1_a.float() @ w1_b.float() if w1 is None else w1.float()
        values = {"lokr_w1": w1 * (scale / self.scale), "lokr_w2_a": w2_a, "lokr_w2_b": w2_b,
                  "lokr_w2": w2_a.float() @ w2_b.float() if self.whole and w2 is None else w2}
        return fitting(values, self.trained)


def split(side: int, factor: int) -> tuple[int, int]:
    """side as a product of two whole numbers, the smaller one first and at most `factor` (0: at most the root)."""
    bound = min(factor or side, int(side ** 0.5))
    small = max(number for number in range(1, bound + 1) if side % number == 0)
    return small, side // small
