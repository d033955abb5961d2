"""Image pairs: one LoRA learns the way from a picture to another, forwards at strength 1 and backwards at -1.

r(after) and r(before) are what the untrained model lacks of the two pictures, noised alike and with one caption. Half
of their difference is the way from the middle to either; (r(after) + r(before)) / 2 is what both lack, such as a paper
or a hand they share, and is asked of neither side:
goal = base + strength * reach * (r(after) - r(before)) / 2, at strength 1 on after and -1 on before.
"""
from collections.abc import Callable, Sequence

import torch

from .denoiser import Encoded
from .loss import Objective

Sides = tuple[torch.Tensor, torch.Tensor]       # of after and of before, [B, C, ...] each
Predict = Callable[..., torch.Tensor]           # called like a Denoiser: the untrained model
LOOKED_AT, LEVELS = 8, (0.125, 0.375, 0.625, 0.875)


def sides(group: list[Encoded]) -> list[tuple[float, list[Encoded]]]:
    """[(strength, samples)]"""
    return [(1.0, group), (-1.0, [sample._replace(latent=sample.before) for sample in group])]


@torch.no_grad()
def pair_goals(base: Predict, objective: Objective, group: list[Encoded], noise: list[torch.Tensor],
               sigma: torch.Tensor, reach: float) -> Sides:
    """What either side is to predict."""
    (after, before), half = _predicted(base, objective, group, noise, sigma)
    half = reach * half
    return after + half, before - half


@torch.no_grad()
def base_position(base: Predict, objective: Objective, pairs: list[Encoded], seed: int) -> float:
    """Where the untrained model stands: 1 where it draws what comes before, -1 where it draws what comes after, 0 half
    way; over the pairs, a few of all (spread_over), at a few levels of noise."""
    generator, more, apart = torch.Generator().manual_seed(seed), 0.0, 0.0
    for sigma in objective.levels.sigmas(torch.tensor(LEVELS)):
        for pair in pairs:
            noise = [torch.randn(pair.latent.shape, generator=generator)]
            both, half = _predicted(base, objective, [pair], noise, sigma.view(1))
            lacks = [side.latent.to(half.device) - made for (_, (side,)), made in zip(sides([pair]), both, strict=True)]
            more += (lacks[0].square() - lacks[1].square()).sum().item()
            apart += 4 * half.square().sum().item()
    return max(-1.0, min(1.0, more / max(apart, 1e-12)))


def spread_over(pairs: Sequence) -> Sequence:
    """LOOKED_AT of them at most."""
    return pairs[::-(-len(pairs) // LOOKED_AT)]


def _predicted(base, objective, group, noise, sigma) -> tuple[Sides, torch.Tensor]:
    """(the untrained model's two predictions, half of the difference of what they lack)"""
    conds, noise, device = [sample.conds for sample in group], torch.cat(noise), base.device
    predicted, lacks = [], []
    for _, samples in sides(group):
        clean = torch.cat([sample.latent for sample in samples]).to(device)
        noisy = objective.add_noise(clean, noise.to(device), sigma.to(device))
        predicted.append(base(noisy, sigma.to(device), conds).float())
        lacks.append(clean - predicted[-1])
    return tuple(predicted), (lacks[0] - lacks[1]) / 2
