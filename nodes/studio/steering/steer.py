"""Critique guidance: at each step of a sampler the predicted clean latent is moved up the gradient of a reward."""
from typing import NamedTuple

import comfy.model_management
import torch
from torch import Tensor

from ..gradient.decoder import Decoder
from ..gradient.reward import Reward
from .climb import climb, each, norm
from .push import Push, push

CLIMBS = 3  # steps in which a move is made
PUSH_START = 0.04  # share of the sampling: before it all is noise, and what the model predicts hardly depends on it
OFF = "Off: strength is 0, or start is not before end and there is no push. The model is passed on as it came."
WARNING = ("A measure that is steered no longer says how good a picture is: judge by what was not steered, and by eye.")


class Force(NamedTuple):
    """How hard and when to push.

    `points` are what each step tries to add, to first order; `limit` is the longest move as a share of the latent's
    norm; `start` and `end` are shares of the sampling, 0..1. `push` is the length of the early pushes, as a share of
    the noisy latent's norm, made until `push_end`.
    """
    points: float
    limit: float
    start: float
    end: float
    push: float = 0.0
    push_end: float = 0.0

    @property
    def moves(self) -> bool:
        return self.points > 0 and self.start < self.end

    @property
    def pushes(self) -> bool:
        return self.points > 0 and self.push > 0 and self.push_end > PUSH_START

    @property
    def off(self) -> bool:
        return not (self.moves or self.pushes)


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
        longest, wanted = self.force.limit * norm(start) / CLIMBS, self.force.points / CLIMBS
        share = torch.ones_like(longest)
        earned, slope = climb(self.reward, self.decoder, at)
        for left in reversed(range(CLIMBS)):
            way = slope.sign() * slope.abs().sqrt()
            gain, size = (way * slope).flatten(1).sum(1), norm(way)
            length = torch.minimum((self.reward.most - earned).clamp(0, wanted) * size / gain, longest) * share
            tried = at + each(length / size, slope) * way
            now, there = climb(self.reward, self.decoder, tried, bool(left))
            better = now > earned
            at, slope = (torch.where(each(better, slope), new, old) for new, old in ((tried, at), (there, slope)))
            earned, share = torch.where(better, now, earned), torch.where(better, share, share / 4)
        return at - start


def guide(model, reward: Reward, decoder: Decoder, force: Force):
    """A clone of MODEL that samples under guidance, which sees what patches before it made of the prediction."""
    sampling = model.get_model_object("model_sampling")

    def between(start: float, end: float) -> tuple[float, float]:
        return tuple(float(sampling.percent_to_sigma(share)) for share in (start, end))

    clone = model.clone()
    if force.moves:
        clone.set_model_sampler_post_cfg_function(
            Guidance(reward, decoder, force, *between(force.start, force.end)))
    if force.pushes:
        push(clone, Push(reward, decoder, force.push, *between(PUSH_START, force.push_end)))
    return clone


def report(reward: Reward, decoder: Decoder, force: Force) -> str:
    """Markdown: what will be steered, how hard, and what cannot be."""
    parts = []
    if force.moves:
        parts.append(f"Each step from {force.start:.0%} to {force.end:.0%} of the sampling tries to add "
                     f"{force.points:g} points by moving the predicted latent by at most {force.limit:.1%} of its "
                     f"norm, seen through {decoder.name}.")
    if force.pushes:
        parts.append(f"Each step from {PUSH_START:.0%} to {force.push_end:.0%} pushes the noisy latent by "
                     f"{force.push:.1%} of its norm, along the gradient through the model; such a step takes more "
                     "than twice as long.")
    parts.append(f"Steered:\n{reward}")
    if reward.left_out:
        parts.append("Not steered:\n" + "\n".join(f"* {why}" for why in reward.left_out))
    return "\n\n".join([*parts, WARNING])
