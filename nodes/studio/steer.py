"""Critique guidance: at each step of a sampler the predicted clean latent is moved up the gradient of a reward."""
from typing import NamedTuple

import comfy.model_management
import torch
from torch import Tensor

from .decoder import Decoder
from .reward import Reward

CLIMBS = 3  # steps in which a move is made
OFF = "Off: strength is 0, or start is not before end. The model is passed on as it came."
WARNING = ("A measure that is steered no longer says how good a picture is: judge by what was not steered, and by eye.")


class Force(NamedTuple):
    """How hard and when to push.

    `points` are what each step tries to add, to first order; `limit` is the longest move as a share of the latent's
    norm; `start` and `end` are shares of the sampling, 0..1.
    """
    points: float
    limit: float
    start: float
    end: float

    @property
    def off(self) -> bool:
        return self.points == 0 or self.start >= self.end


class Guidance(NamedTuple):
    """A post-CFG function of the host, at work while sigma lies between `last` and `first`.

    It holds no state: what it does depends on the latent of the step alone.
    """
    reward: Reward
    decoder: Decoder
    force: Force
    first: float
    last: float

    def __call__(self, args: dict) -> Tensor:
        denoised = args["denoised"]
        if not self.last <= float(args["sigma"].max()) <= self.first:
            return denoised
        comfy.model_management.throw_exception_if_processing_interrupted()
        return denoised + self.move(denoised).to(denoised.dtype)

    def move(self, latent: Tensor) -> Tensor:
        """What to add to latents [B, C, ...], float32: each picture is moved by its own gradient only.

        The way is cut into CLIMBS steps; one that loses points is not taken and the next is a quarter as long, so that
        a near top is not overshot. Each goes by the roots of the slope, which spreads it over more of the picture.
        """
        start = at = latent.float()
        longest, wanted = self.force.limit * _norm(start) / CLIMBS, self.force.points / CLIMBS
        share = torch.ones_like(longest)
        earned, slope = climb(self.reward, self.decoder, at)
        for left in reversed(range(CLIMBS)):
            way = slope.sign() * slope.abs().sqrt()
            gain, size = (way * slope).flatten(1).sum(1), _norm(way)
            length = torch.minimum((self.reward.most - earned).clamp(0, wanted) * size / gain, longest) * share
            tried = at + _each(length / size, slope) * way
            now, there = climb(self.reward, self.decoder, tried, bool(left))
            better = now > earned
            at, slope = (torch.where(_each(better, slope), new, old) for new, old in ((tried, at), (there, slope)))
            earned, share = torch.where(better, now, earned), torch.where(better, share, share / 4)
        return at - start


def climb(reward: Reward, decoder: Decoder, latent: Tensor, further: bool = True) -> tuple[Tensor, Tensor]:
    """The points [B] of latents [B, C, ...] and their gradient, float32, also inside inference mode.

    Of a video the points are the mean over its frames. Without `further` the gradient is 0.
    """
    with torch.inference_mode(False), torch.set_grad_enabled(further):
        own = latent.detach().clone().float().requires_grad_(further)
        earned = reward(decoder.decode(own)).view(len(own), -1).mean(1)
        slope = torch.autograd.grad(earned.sum(), own)[0] if further else torch.zeros_like(own)
    return earned.detach(), slope


def guide(model, reward: Reward, decoder: Decoder, force: Force):
    """A clone of MODEL that samples under guidance, which sees what patches before it made of the prediction."""
    sampling = model.get_model_object("model_sampling")
    first, last = (float(sampling.percent_to_sigma(share)) for share in (force.start, force.end))
    clone = model.clone()
    clone.set_model_sampler_post_cfg_function(Guidance(reward, decoder, force, first, last))
    return clone


def report(reward: Reward, decoder: Decoder, force: Force) -> str:
    """Markdown: what will be steered, how hard, and what cannot be."""
    parts = [f"Each step from {force.start:.0%} to {force.end:.0%} of the sampling tries to add {force.points:g} "
             f"points by moving the predicted latent by at most {force.limit:.1%} of its norm, seen through "
             f"{decoder.name}.",
             f"Steered:\n{reward}"]
    if reward.left_out:
        parts.append("Not steered:\n" + "\n".join(f"* {why}" for why in reward.left_out))
    return "\n\n".join([*parts, WARNING])


def _each(values: Tensor, latent: Tensor) -> Tensor:
    """[B] shaped to act on latents [B, C, ...]."""
    return values.view(-1, *[1] * (latent.ndim - 1))


def _norm(latent: Tensor) -> Tensor:
    return latent.flatten(1).norm(dim=1)
