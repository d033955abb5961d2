"""How much noise each picture gets: a density over 0 (clean) to 1 (pure noise), shifted, cut and stratified."""
import math

import comfy.model_sampling as ms
import torch

from ..plan.recipe import TimestepPlan

LEAST_NOISE = 1e-3          # a flow model's prediction error has no finite weight at 0
FEW_TOKENS, MANY_TOKENS = (256, 0.5), (4096, 1.15)     # Flux's shift in nats by the number of picture tokens


class NoiseLevels:
    """Draws noise levels (sigma) of a host `model_sampling` by a TimestepPlan, reproducibly from a generator.

    Raises ValueError for a range of noise that is empty."""

    def __init__(self, sampling, flow: bool, plan: TimestepPlan):
        if not 0 <= plan.low < plan.high <= 1:
            raise ValueError("min_timestep, max_timestep: expected 0 <= min_timestep < max_timestep <= 1, "
                             f"got {plan.low:g} and {plan.high:g}.")
        self.sampling, self.flow, self.plan, self.left = sampling, flow, plan, []

    def draw(self, count: int, generator: torch.Generator, tokens: int = MANY_TOKENS[0]) -> torch.Tensor:
        """[count] noise levels, fp32 on the CPU; tokens: of one picture, for the resolution's shift."""
        return self.sigmas(self.quantiles(count, generator), tokens)

    def quantiles(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """[count] numbers, each uniform over 0 to 1; any plan.strata of them in a row fall into different strata."""
        strata = max(1, self.plan.strata)
        inside = torch.rand(count, generator=generator, dtype=torch.float64)
        while len(self.left) < count:
            self.left += torch.randperm(strata, generator=generator).tolist()
        taken, self.left = self.left[:count], self.left[count:]
        return (torch.tensor(taken, dtype=torch.float64) + inside) / strata

    def sigmas(self, quantiles: torch.Tensor, tokens: int = MANY_TOKENS[0]) -> torch.Tensor:
        """The noise levels below which a share `quantiles` of all draws fall."""
        shift = self.shift(tokens)
        low, high = (self._cumulative(_unshift(edge, shift)) for edge in (self.plan.low, self.plan.high))
        noise = _shift(self._density(low + quantiles.double() * (high - low)), shift)
        return self._sigma(noise.clamp(self.plan.low, self.plan.high))

    def shift(self, tokens: int) -> float:
        """s of t' = s t / (1 + (s - 1) t)."""
        if not self.flow or self.plan.shift in ("none", None):
            return 1.0
        if self.plan.shift == "resolution":
            return resolution_shift(tokens)
        return own_shift(self.sampling) if self.plan.shift == "model" else float(self.plan.shift)

    def _density(self, u):
        if self.plan.density == "logit_normal":
            return torch.special.ndtri(u).sigmoid()
        if self.plan.density == "cosmap":                   # Esser et al. 2024, section 3.1
            return 1 - 1 / (torch.tan(math.pi / 2 * u) + 1)
        return u

    def _cumulative(self, t: float) -> float:
        """Share of the density below t."""
        if self.plan.density == "logit_normal":
            return torch.special.ndtr(torch.logit(torch.tensor(t, dtype=torch.float64))).item()
        if self.plan.density == "cosmap":
            return 2 / math.pi * math.atan2(t, 1 - t)
        return t

    def _sigma(self, noise):
        if not self.flow:
            levels = self.sampling.sigmas.cpu()
            return levels[(noise * len(levels)).long().clamp(max=len(levels) - 1)].float()
        noise = noise.clamp(min=LEAST_NOISE)
        if isinstance(self.sampling, ms.COSMOS_RFLOW):
            most = float(self.sampling.sigma_max)
            return (noise / (1 - noise).clamp(min=1 / (1 + most))).clamp(max=most).float()
        return noise.float()


def resolution_shift(tokens: int) -> float:
    """Flux's shift of pictures of so many tokens."""
    (few, low), (many, high) = FEW_TOKENS, MANY_TOKENS
    return math.exp(low + (high - low) * (tokens - few) / (many - few))


def own_shift(sampling) -> float:
    """The shift a flow model samples with, read off its schedule's middle."""
    if isinstance(sampling, ms.COSMOS_RFLOW):
        return 1.0
    middle = float(sampling.sigma(torch.tensor(0.5 * getattr(sampling, "multiplier", 1.0))))
    return middle / (1 - middle)


def _shift(t, s):
    return s * t / (1 + (s - 1) * t)


def _unshift(t, s):
    return t / (s - (s - 1) * t)
