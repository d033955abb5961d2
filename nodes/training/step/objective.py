"""The loss in the model's own prediction space, and the noise levels it is drawn at."""
import comfy.model_sampling as ms
import torch

from ..plan.recipe import LossPlan, TimestepPlan
from .losses import deltas, masked_mean, shaped, snr_weights
from .timesteps import NoiseLevels


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
