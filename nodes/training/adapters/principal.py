"""The principal components of a weight, by a randomised range finder."""
import torch

OVERSAMPLED, POWER_STEPS = 8, 4


def principal_factors(weight: torch.Tensor, rank: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """up [out, rank] and down [rank, in] with up @ down near the best approximation of weight [out, in] of that rank.

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
