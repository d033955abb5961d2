"""The loss in the model's own prediction space: weights by noise level, robust shapes, masks."""
import math

import comfy.model_sampling as ms
import torch
import torch.nn.functional as F

from ..plan.recipe import LossPlan, TimestepPlan
from .timesteps import NoiseLevels

MOST_SNR = 1000.0


class Objective:
    """Everything that depends on how the host's `model_sampling` relates its prediction to the clean latent.

    Without plans it is the usual one: flow models logit-normal through their own shift and unweighted, the others
    uniform with min-SNR 5. Raises ValueError for models that are not trained by removing noise.
    """

    def __init__(self, sampling, timesteps: TimestepPlan | None = None, loss: LossPlan | None = None):
        self.sampling, self.kind = sampling, prediction_kind(sampling)
        flow = self.kind == "flow"
        usual = TimestepPlan("logit_normal" if flow else "uniform", "model" if flow else "none")
        self.levels = NoiseLevels(sampling, flow, timesteps or usual)
        self.plan = loss or LossPlan("none" if flow else "min_snr")

    def draw_sigmas(self, count: int, generator: torch.Generator, tokens: int = 4096) -> torch.Tensor:
        """[count] noise levels, fp32 on the CPU; tokens: of a picture, where the shift depends on its size."""
        return self.levels.draw(count, generator, tokens)

    def draw_noise(self, clean: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Noise like clean [1, C, ...], on the CPU, each channel moved by plan.noise_offset times a normal number."""
        noise = torch.randn(clean.shape, generator=generator)
        if self.plan.noise_offset:
            shape = clean.shape[:2] + (1,) * (clean.ndim - 2)
            noise += self.plan.noise_offset * torch.randn(shape, generator=generator)
        return noise

    def add_noise(self, clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """clean, noise [B, C, ...], sigma [B] -> what the model sees, by the host's own rule."""
        return self.sampling.noise_scaling(sigma, noise, clean)

    def losses(self, denoised: torch.Tensor, clean: torch.Tensor, sigma: torch.Tensor,
               mask: torch.Tensor | None = None) -> torch.Tensor:
        """[B] weighted mean losses of the raw prediction (eps, v, velocity or x0), under mask [B, 1, ...] if given.

        The host's denoised latent is linear in the raw prediction, so its error divided by the slope is the raw
        prediction's error, for every kind of model, without naming the target.
        """
        error = (denoised.float() - clean) / self.slope(denoised, sigma)
        values = shaped(error, self.plan, deltas(self.kind, self.plan, self._level(sigma)))
        return self.weight(sigma) * masked_mean(values, mask)

    def slope(self, like: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """[B, 1, ...] derivative of the denoised latent by the raw prediction."""
        one = torch.ones((len(sigma),) + (1,) * (like.ndim - 1), device=like.device)
        zero = torch.zeros_like(one)
        return self.sampling.calculate_denoised(sigma, one, zero) - self.sampling.calculate_denoised(sigma, zero, zero)

    def weight(self, sigma: torch.Tensor) -> torch.Tensor:
        """[B] weights by noise level."""
        return snr_weights(self.kind, self.plan, self._level(sigma))

    def ignores_pure_noise(self) -> bool:
        """True where the last noise level, which is noise alone, has no weight: min-SNR for v or x0 at zero SNR."""
        last = torch.tensor([float(self.sampling.sigma_max)])
        return self.kind in ("v", "x0") and self.weight(last).item() < 1e-6

    def _level(self, sigma):
        """Cosmos counts its flow's sigma like an EDM model; everything else here wants the share of noise."""
        return sigma / (1 + sigma) if isinstance(self.sampling, ms.COSMOS_RFLOW) else sigma


def prediction_kind(sampling) -> str:
    """'flow', 'eps', 'v', 'x0' or 'edm', from the host's model_sampling classes."""
    if isinstance(sampling, (ms.IMG_TO_IMG, ms.IMG_TO_IMG_FLOW)):
        raise ValueError("model: expected a diffusion or flow model, got an image-to-image model, "
                         "which is not trained by removing noise.")
    kinds = {
        "flow": (ms.CONST, ms.COSMOS_RFLOW),
        "x0": ms.X0,
        "edm": ms.EDM,
        "v": (ms.V_PREDICTION, ms.V_PREDICTION_DDPM),
        "eps": ms.EPS,
    }
    for kind, classes in kinds.items():
        if isinstance(sampling, classes):
            return kind
    raise ValueError("model: expected one that predicts eps, v, x0 or a flow, "
                     f"got {type(sampling).__mro__[1].__name__}.")


def snr_weights(kind: str, plan: LossPlan, sigma: torch.Tensor) -> torch.Tensor:
    """[B] weights by noise level for a model that predicts `kind`; 1 for EDM models, whose error is weighted already.

    min_snr: Hang et al. 2023, arXiv:2303.09556; soft_min_snr: Crowson et al. 2024, arXiv:2401.11605; debiased: Yu et
    al. 2023, arXiv:2310.08442. All are weights of the clean latent's error, carried over to the raw prediction's."""
    if plan.weighting in ("none", None) or kind == "edm":
        return torch.ones_like(sigma)
    snr = ((1 - sigma) / sigma).square() if kind == "flow" else sigma ** -2.0
    if plan.weighting == "debiased":
        snr = snr.clamp(max=MOST_SNR)
        return 1 / (snr + 1) if kind == "v" else snr.clamp(min=1e-8) ** -0.5
    clean = snr.clamp(max=plan.gamma) if plan.weighting == "min_snr" else snr * plan.gamma / (snr + plan.gamma)
    return clean * {"eps": lambda: 1 / snr, "v": lambda: 1 / (snr + 1), "x0": lambda: torch.ones_like(snr),
                    "flow": lambda: sigma.square()}[kind]()


def deltas(kind: str, plan: LossPlan, sigma: torch.Tensor) -> torch.Tensor:
    """[B] where huber and smooth_l1 turn straight (Khrapov et al. 2024, arXiv:2403.16728)."""
    if plan.delta_schedule == "constant":
        return torch.full_like(sigma, plan.delta)
    if plan.delta_schedule == "exponential":
        share = sigma if kind == "flow" else 2 / math.pi * sigma.atan()
        return torch.exp(math.log(plan.delta) * share)
    ratio = sigma / (1 - sigma).clamp(min=1e-4) if kind == "flow" else sigma
    return (1 - plan.delta) / (1 + ratio) ** 2 + plan.delta


def shaped(error: torch.Tensor, plan: LossPlan, delta: torch.Tensor) -> torch.Tensor:
    """The loss of each number of error [B, ...]: its square, or a pseudo-Huber loss with delta [B]."""
    if plan.shape == "mse":
        return error.square()
    c = delta.view(-1, *(1,) * (error.ndim - 1))
    bend = (error.square() + c.square()).sqrt() - c
    return 2 * c * bend if plan.shape == "huber" else 2 * bend


def masked_mean(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """[B] means of values [B, C, ...] under a mask [B, 1, h, w] in 0 to 1, as if there were nothing outside it."""
    if mask is None:
        return values.flatten(1).mean(1)
    mask = mask.expand_as(values).flatten(1)
    return (values.flatten(1) * mask).sum(1) / mask.sum(1).clamp(min=1e-6)


def fit_mask(mask: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
    """mask [1, 1, H, W] averaged down to the latent's [1, 1, (1,) h, w]."""
    small = F.interpolate(mask.float(), latent.shape[-2:], mode="area").clamp(0, 1)
    return small if latent.ndim == 4 else small.unsqueeze(2)
