"""Euler sampling, step by step, as the host's `euler` does it, through which a gradient can run."""
from typing import NamedTuple

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor

from ...training.step.denoiser import Conds, Denoiser, fit_together


class EulerChain(NamedTuple):
    """How a picture comes about. sigmas: [steps + 1], falling; negative: one row, None where cfg is 1. apart: prompts
    and the negative one never share a forward pass, also where they could."""
    denoiser: Denoiser
    sampling: object
    sigmas: Tensor
    cfg: float
    negative: Conds | None
    options: dict
    apart: bool = False

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    def begin(self, noise: Tensor) -> Tensor:
        """What the first step sees, from noise [B, C, ...] and an empty latent."""
        most = float(self.sampling.sigma_max)
        first = float(self.sigmas[0])
        whole = first > most or abs(first - most) <= 1e-5 * most
        return self.sampling.noise_scaling(self.sigmas[0], noise, torch.zeros_like(noise), whole)

    def predict_clean(self, noisy: Tensor, step: int, conds: list[Conds]) -> Tensor:
        """The clean latent that the model predicts at a step, guided. Honours Cancel."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        sigma = self.sigmas[step].expand(len(noisy))
        if self.negative is None:
            return self.denoiser(noisy, sigma, conds)
        wanted, other = self._both(noisy, sigma, conds)
        return comfy.samplers.cfg_function(self.denoiser.model, wanted, other, self.cfg, noisy, sigma, self.options)

    def _both(self, noisy, sigma, conds):
        """What the prompts and the negative one predict: in one forward pass where their conditions fit together."""
        others = [self.negative] * len(noisy)
        if self.apart or not fit_together(conds[0], self.negative):
            return self.denoiser(noisy, sigma, conds), self.denoiser(noisy, sigma, others)
        return self.denoiser(torch.cat([noisy, noisy]), torch.cat([sigma, sigma]), [*conds, *others]).chunk(2)

    def euler_step(self, noisy: Tensor, clean: Tensor, step: int) -> Tensor:
        """What the next step sees; after the last one the clean latent."""
        sigma, following = self.sigmas[step], self.sigmas[step + 1]
        return noisy + (noisy - clean) / sigma * (following - sigma)

    def run(self, noisy: Tensor, conds: list[Conds], steps: range) -> Tensor:
        for step in steps:
            noisy = self.euler_step(noisy, self.predict_clean(noisy, step, conds), step)
        return noisy

    @torch.no_grad()
    def step_inputs(self, noisy: Tensor, conds: list[Conds], steps: range) -> list[Tensor]:
        """What each of the steps sees."""
        found = [noisy]
        for step in steps[:-1]:
            found.append(self.run(found[-1], conds, range(step, step + 1)))
        return found


def schedule(sampling, scheduler: str, steps: int, device) -> Tensor:
    """The sigmas of the host's KSampler with `euler`."""
    return comfy.samplers.calculate_sigmas(sampling, scheduler, steps).to(device)
