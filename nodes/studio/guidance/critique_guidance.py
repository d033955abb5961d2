"""Critique guidance: at each step of a sampler the predicted clean latent is moved up the gradient of a reward."""
from typing import NamedTuple

import comfy.model_management
import torch
from torch import Tensor

from ...shared.host_capabilities import require
from ..gradient.latent_decoder import Decoder
from ..gradient.reward import Reward
from .early_push import NOT_UNDER, Push, push
from .reward_gradient import RewardSlope, norm, per_picture, reward_slope
from .sampler_position import follow, lies_between

SUBSTEPS = 3  # a move is made in so many
FEW = 0.02  # share of the pixels that may pass their limit: the rims of things, where a latent cannot be exact
PUSH_START = 0.04  # share of the sampling: before it all is noise, and what the model predicts hardly depends on it
OFF = "Off: strength is 0, or start is not before end and there is no push. The model is passed on as it came."
WARNING = ("A measure that is steered no longer says how good a picture is: judge by what was not steered, and by eye.")


class GuidanceSettings(NamedTuple):
    """How far and when latents are moved.

    `points` are what each step tries to add, to first order; `limit` is the longest move as a share of the latent's
    norm; `start` and `end` are shares of the sampling, 0..1. `pixels` is the most that a step may change a pixel by,
    0..1, as the decoder sees it; 1 is no limit. `push` is the length of the early pushes, as a share of
    the noisy latent's norm, made until `push_end`.
    """
    points: float
    limit: float
    start: float
    end: float
    push: float = 0.0
    push_end: float = 0.0
    pixels: float = 1.0

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
    settings: GuidanceSettings
    first: float
    last: float

    def __call__(self, args: dict) -> Tensor:
        denoised = args["denoised"]
        if not lies_between(args["sigma"], self.last, self.first, args.get("model_options")):
            return denoised
        comfy.model_management.throw_exception_if_processing_interrupted()
        return denoised + self.move(denoised).to(denoised.dtype)

    def move(self, latent: Tensor) -> Tensor:
        """What to add to latents [B, C, ...], float32: each picture is moved by its own gradient only.

        The move is made in SUBSTEPS; one that loses points is not made and the next is a quarter as long, so that a
        near maximum is not overshot.
        """
        start = at = latent.float()
        longest, wanted = self.settings.limit * norm(start) / SUBSTEPS, self.settings.points / SUBSTEPS
        share, here = torch.ones_like(longest), reward_slope(self.reward, self.decoder, at)
        for left in reversed(range(SUBSTEPS)):
            direction = self.direction(here)
            gain, size = (direction * here.slope).flatten(1).sum(1).clamp(min=0), norm(direction)
            length = torch.minimum((self.reward.maximum - here.points).clamp(0, wanted) * size / gain, longest)
            tried = at + per_picture(self.within_pixels(at, direction, length) * share / size, at) * direction
            there = reward_slope(self.reward, self.decoder, tried, bool(left))
            better = there.points > here.points
            at = torch.where(per_picture(better, at), tried, at)
            here, share = choose_per_picture(better, there, here), torch.where(better, share, share / 4)
        return at - start

    def direction(self, here: RewardSlope) -> Tensor:
        """The direction of the move, in latents: the roots of the slope, which spread it over more of the picture.

        Where the change of pixels is limited, the roots are of the picture's slope, taken back to latents where the
        decoder knows how: what is spread evenly over a picture reaches most within the limit.
        """
        if self.settings.pixels >= 1 or self.decoder.latent_change is None:
            return root(here.slope)
        change = self.decoder.latent_change(root(here.seen))
        return change if here.slope.ndim == 4 else change.unflatten(0, (len(here.slope), -1)).movedim(1, 2)

    def within_pixels(self, at: Tensor, direction: Tensor, length: Tensor) -> Tensor:
        """`length` [B] along `direction`, shortened so that all but FEW of the pixels keep to a substep's share of the
        limit.

        A hundredth of the way tells: over all of it a pixel may reach black or white, and show less than it moved.
        """
        if self.settings.pixels >= 1:
            return length
        moved = at + per_picture(length / norm(direction) / 100, direction) * direction
        with torch.inference_mode(False), torch.no_grad():
            before, after = (self.decoder.decode(latent.clone()) for latent in (at, moved))
        change = (after - before).abs().reshape(len(at), -1)
        most = change.kthvalue(round((1 - FEW) * change.shape[1]), 1).values * 100
        return length * (self.settings.pixels / SUBSTEPS / most.clamp(min=1e-9)).clamp(max=1)


def root(slope: Tensor) -> Tensor:
    return slope.sign() * slope.abs().sqrt()


def choose_per_picture(chosen: Tensor, one: RewardSlope, other: RewardSlope) -> RewardSlope:
    """For each picture `one` where `chosen` [B], else `other`."""
    return RewardSlope(*(torch.where(per_picture(chosen.repeat_interleave(len(mine) // len(chosen)), mine), mine, its)
                   for mine, its in zip(one, other, strict=True)))


def guide(model, reward: Reward, decoder: Decoder, settings: GuidanceSettings):
    """A clone of MODEL that samples under guidance, which sees what patches before it made of the prediction."""
    require("guidance")
    sampling = model.get_model_object("model_sampling")

    def between(start: float, end: float) -> tuple[float, float]:
        return tuple(float(sampling.percent_to_sigma(share)) for share in (start, end))

    clone = model.clone()
    follow(clone)
    if settings.moves:
        clone.set_model_sampler_post_cfg_function(
            Guidance(reward, decoder, settings, *between(settings.start, settings.end)))
    if settings.pushes:
        push(clone, Push(reward, decoder, settings.push, *between(PUSH_START, settings.push_end)))
    return clone


def report(reward: Reward, decoder: Decoder, settings: GuidanceSettings) -> str:
    """Markdown: what will be steered, how hard, and what cannot be."""
    parts = []
    if settings.moves:
        parts.append(f"Each step from {settings.start:.0%} to {settings.end:.0%} of the sampling tries to add "
                     f"{settings.points:g} points by moving the predicted latent by at most {settings.limit:.1%} of "
                     f"its norm{_pixels(settings)}, seen through {decoder.name}.")
    if settings.pushes:
        parts.append(f"Each step from {PUSH_START:.0%} to {settings.push_end:.0%} pushes the noisy latent by "
                     f"{settings.push:.1%} of its norm, along the gradient through the model; such a step takes more "
                     f"than twice as long. {NOT_UNDER}")
    parts.append(f"Steered:\n{reward}")
    if reward.left_out:
        parts.append("Not steered:\n" + "\n".join(f"* {why}" for why in reward.left_out))
    return "\n\n".join([*parts, WARNING])


def _pixels(settings: GuidanceSettings) -> str:
    return "" if settings.pixels >= 1 else f", and its pixels by at most {settings.pixels:.0%} of their range"
