"""How an error of the prediction becomes a loss: per-level weights, robust shapes, masks."""
import math

import torch
import torch.nn.functional as F

from ..plan.recipe import LossPlan

MOST_SNR = 1000.0


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
