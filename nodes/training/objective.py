"""The loss in the model's own prediction space, and the noise levels it is drawn at."""
import comfy.model_sampling as ms
import torch

MIN_SNR_GAMMA = 5.0


class Objective:
    """Everything that depends on how the host's `model_sampling` relates its prediction to the clean latent.

    Raises ValueError for models that are not trained by removing noise.
    """

    def __init__(self, sampling):
        self.sampling, self.kind = sampling, prediction_kind(sampling)

    def draw_sigmas(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """[count] noise levels, fp32 on the CPU. Flow: sigmoid of a standard normal (Esser et al. 2024,
        arXiv:2403.03206), then the model's own shift. Others: uniform over the model's own noise levels."""
        if self.kind == "flow":
            times = torch.randn(count, generator=generator).sigmoid()
            steps = [t * getattr(self.sampling, "multiplier", 1.0) for t in times.tolist()]
            return torch.tensor([float(self.sampling.sigma(torch.tensor(step))) for step in steps])
        levels = self.sampling.sigmas.cpu()
        return levels[torch.randint(len(levels), (count,), generator=generator)].float()

    def add_noise(self, clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """clean, noise [B, C, ...], sigma [B] -> what the model sees, by the host's own rule."""
        return self.sampling.noise_scaling(sigma, noise, clean)

    def losses(self, denoised: torch.Tensor, clean: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """[B] weighted mean squared errors of the raw prediction (eps, v, velocity or x0).

        The host's denoised latent is linear in the raw prediction, so its error divided by the slope is the raw
        prediction's error, for every kind of model, without naming the target.
        """
        error = (denoised.float() - clean) / self.slope(denoised, sigma)
        return self.weight(sigma) * error.square().flatten(1).mean(1)

    def slope(self, like: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """[B, 1, ...] derivative of the denoised latent by the raw prediction."""
        one = torch.ones((len(sigma),) + (1,) * (like.ndim - 1), device=like.device)
        zero = torch.zeros_like(one)
        return self.sampling.calculate_denoised(sigma, one, zero) - self.sampling.calculate_denoised(sigma, zero, zero)

    def weight(self, sigma: torch.Tensor) -> torch.Tensor:
        """[B] min-SNR weights with gamma 5 (Hang et al. 2023, arXiv:2303.09556); 1 for flow and EDM models."""
        snr = sigma ** -2.0
        if self.kind == "eps":
            return snr.clamp(max=MIN_SNR_GAMMA) / snr
        if self.kind == "v":
            return snr.clamp(max=MIN_SNR_GAMMA) / (snr + 1)
        if self.kind == "x0":
            return snr.clamp(max=MIN_SNR_GAMMA)
        return torch.ones_like(sigma)

    def describe(self) -> tuple[str, str]:
        """(timesteps and weighting, the reason), for the report."""
        if self.kind == "flow":
            return ("timesteps logit-normal through the model's own shift, no weighting",
                    "flow models learn most at middle noise, and the shift is the one it samples with")
        if self.kind == "edm":
            return ("uniform over the model's noise levels, no weighting", "EDM's prediction has unit variance already")
        return (f"timesteps uniform, min-SNR {MIN_SNR_GAMMA:g} weighting",
                f"it keeps the nearly clean steps from ruling a {self.kind} model's loss")


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
