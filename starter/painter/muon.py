"""Muon for many small matrices on a CPU: those of one shape are orthogonalised in one batched product.

Keller Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); the step is scaled so that its
root mean square is that of Adam (Liu et al., "Muon is scalable for LLM training", arXiv:2502.16982).
"""
import torch
from torch import Tensor

QUINTIC, ROUNDS = (3.4445, -4.7750, 2.0315), 4


def orthogonalised(matrices: Tensor) -> Tensor:
    """[N, rows, columns] with singular values brought near 1 by ROUNDS of Newton and Schulz in bfloat16."""
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT.contiguous() if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, for the 2-D `params`."""

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0.95, decay: float = 0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                shapes.setdefault(p.shape, []).append(p)
            for alike in shapes.values():
                self.move(alike, **{k: group[k] for k in ("lr", "momentum", "decay")})

    def move(self, alike: list[Tensor], lr: float, momentum: float, decay: float):
        grads = [p.grad for p in alike]
        held = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in alike]
        torch._foreach_lerp_(held, grads, 1 - momentum)
        ahead = torch.stack(torch._foreach_lerp(grads, held, momentum))
        size = 0.2 * max(alike[0].shape) ** 0.5
        torch._foreach_mul_(alike, 1 - lr * decay)
        torch._foreach_add_(alike, list(orthogonalised(ahead).float().unbind()), alpha=-lr * size)
