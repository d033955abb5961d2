"""LoHa: the product of two low-rank matrices, number by number."""
from dataclasses import dataclass

import torch

from ....kernels.weight_branch import ConvProduct, LinearProduct, WeightBranch
from .base import Adapter, fitting

NAMES = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")


@dataclass(frozen=True)
class LohaSettings:
    """LoHa has none."""


class Loha(Adapter):
    """W' = W + alpha / rank * (w1_a @ w1_b) * (w2_a @ w2_b), `*` number by number (Hyeon-Woo et al. 2022,
    arXiv:2108.06098; LyCORIS, arXiv:2309.14859).

    *_a [out, rank], *_b [rank, in * kernel]: its rank can reach rank^2. Normal start values of deviation 0.1 (w1_a), 1
    (w1_b), 0 (w2_a) and 1 (w2_b), as in LyCORIS.
    """

    host_name = "loha"

    def start(self, generator):
        out, fan = self.layer.shape[0], torch.Size(self.layer.shape[1:]).numel()
        normal = lambda rows, columns, std: torch.randn(rows, columns, generator=generator) * std
        return {"hada_w1_a": normal(out, self.rank, 0.1), "hada_w1_b": normal(self.rank, fan, 1.0),
                "hada_w2_a": torch.zeros(out, self.rank), "hada_w2_b": normal(self.rank, fan, 1.0)}

    def forward(self, x, base):
        product = ConvProduct(**self.layer.conv) if self.layer.is_conv else LinearProduct()
        return WeightBranch.apply(x, base, product, self._build, *(self.trained[name] for name in NAMES))

    def _build(self, w1_a, w1_b, w2_a, w2_b):
        return (self.scale * (w1_a @ w1_b) * (w2_a @ w2_b)).view(self.layer.shape)

    def change(self):
        return self._build(*(self.trained[name] for name in NAMES))

    def file(self):
        return {**self.trained, "alpha": torch.tensor(float(self.alpha))}

    def take(self, weights):
        w1_a, w1_b, alpha, w2_a, w2_b, core, *_ = weights
        if core is not None:
            raise ValueError("expected a plain LoHa, got one with a Tucker core")
        ratio = (1.0 if alpha is None else alpha / w1_b.shape[0]) / self.scale
        return fitting(dict(zip(NAMES, (w1_a, w1_b, w2_a.float() * ratio, w2_b), strict=True)), self.trained)
