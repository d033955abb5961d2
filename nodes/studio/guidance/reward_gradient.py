"""The gradient of a reward at latents, and what guidance does with lengths."""
from typing import NamedTuple

import torch
from torch import Tensor

from ..gradient.latent_decoder import Decoder
from ..gradient.reward import Reward


class RewardSlope(NamedTuple):
    """points: [B]; slope: their gradient at the latents [B, C, ...]; seen: at the pictures [B, 3, H, W] (of a video,
    [B * F, 3, H, W]); float32."""
    points: Tensor
    slope: Tensor
    seen: Tensor


def reward_slope(reward: Reward, decoder: Decoder, latent: Tensor, further: bool = True) -> RewardSlope:
    """The points of latents [B, C, ...] and their gradients, also inside inference mode.

    Of a video the points are the mean over its frames. Without `further` the gradients are 0.
    """
    with torch.inference_mode(False), torch.set_grad_enabled(further):
        own = latent.detach().clone().float().requires_grad_(further)
        pictures = decoder.decode(own)
        earned = reward(pictures).view(len(own), -1).mean(1)
        sources = own, pictures
        slopes = torch.autograd.grad(earned.sum(), sources) if further else map(torch.zeros_like, sources)
    return RewardSlope(earned.detach(), *slopes)


def per_picture(values: Tensor, latent: Tensor) -> Tensor:
    """[B] shaped to act on latents [B, C, ...]."""
    return values.view(-1, *[1] * (latent.ndim - 1))


def norm(latent: Tensor) -> Tensor:
    """The length of each of [B, ...], float32."""
    return latent.float().flatten(1).norm(dim=1)
