"""The gradient of a reward at latents, and what guidance does with lengths."""
import torch
from torch import Tensor

from ..gradient.decoder import Decoder
from ..gradient.reward import Reward


def climb(reward: Reward, decoder: Decoder, latent: Tensor, further: bool = True) -> tuple[Tensor, Tensor]:
    """The points [B] of latents [B, C, ...] and their gradient, float32, also inside inference mode.

    Of a video the points are the mean over its frames. Without `further` the gradient is 0.
    """
    with torch.inference_mode(False), torch.set_grad_enabled(further):
        own = latent.detach().clone().float().requires_grad_(further)
        earned = reward(decoder.decode(own)).view(len(own), -1).mean(1)
        slope = torch.autograd.grad(earned.sum(), own)[0] if further else torch.zeros_like(own)
    return earned.detach(), slope


def each(values: Tensor, latent: Tensor) -> Tensor:
    """[B] shaped to act on latents [B, C, ...]."""
    return values.view(-1, *[1] * (latent.ndim - 1))


def norm(latent: Tensor) -> Tensor:
    """The length of each of [B, ...], float32."""
    return latent.float().flatten(1).norm(dim=1)
