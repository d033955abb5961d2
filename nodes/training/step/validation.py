"""The loss on pictures that are not learnt from, at fixed noise and fixed noise levels."""
import gc
import math
from typing import NamedTuple

import comfy.model_management
import torch

from ...shared.full_memory import is_memory_full
from ..data.dataset import Outline
from .denoiser import Denoiser, Encoded
from .gradient import Teacher, group_by_shape, group_losses, needs_teacher
from .loss import Objective

SLACK = 1.03        # a validation loss this far above its lowest is no longer noise


class Measured(NamedTuple):
    """step: after how many; loss: the mean; by_level: the mean at each quantile of the noise levels."""
    step: int
    loss: float
    by_level: tuple[float, ...]


class Validation:
    """Measures held-out samples. Draws its noise once, so that two measures differ by the weights alone.

    missed: the steps whose measure memory had no room for."""

    def __init__(self, denoiser: Denoiser, objective: Objective, samples: list[Encoded], quantiles: tuple[float, ...],
                 seed: int, teacher: Teacher | None = None):
        """teacher: for samples with a lesson, see gradient.sample_losses."""
        generator = torch.Generator().manual_seed(seed)
        self.denoiser, self.objective, self.samples, self.quantiles = denoiser, objective, samples, quantiles
        self.teacher = teacher if any(map(needs_teacher, samples)) else None
        self.noise = [[torch.randn(s.latent.shape, generator=generator) for s in samples] for _ in quantiles]
        self.sigmas = objective.levels.sigmas(torch.tensor(quantiles))
        self.fitted: int | None = None      # pictures in a pass, where more of them did not fit
        self.missed: list[int] = []

    @torch.no_grad()
    def measure(self, step: int, rows: int = 1) -> Measured:
        """rows: most pictures in one pass."""
        levels, samples = [], [self.denoiser.fresh(sample) for sample in self.samples]
        for sigma, noise in zip(self.sigmas, self.noise, strict=True):
            losses = [sum(group_losses(self.denoiser, self.objective, [samples[i] for i in group],
                                       [noise[i] for i in group], sigma.repeat(len(group)), self.teacher))
                      for group in group_by_shape(samples, rows)]
            levels.append(torch.cat(losses).mean().item())
        return Measured(step, sum(levels) / len(levels), tuple(levels))

    def measure_if_it_fits(self, step: int, rows: int) -> Measured | None:
        """The measure, with half as many pictures in a pass as long as memory is full; None where one does not fit."""
        rows = min(rows, self.fitted or rows)
        while rows:
            try:
                return self.measure(step, rows)
            except Exception as error:
                if not is_memory_full(error):
                    raise
            # Only now has the error let go of the pass's tensors.
            gc.collect()
            comfy.model_management.soft_empty_cache()
            rows //= 2
            self.fitted = rows or 1
        self.missed.append(step)
        return None

    @property
    def notes(self) -> list[str]:
        if not self.missed:
            return []
        later = len(self.missed) - 1
        more = f" and of {later} later step{'s' * (later > 1)}" if later else ""
        return [f"Memory was too full for the validation loss of step {self.missed[0]}{more}; the training went on."]


def by_source(known: list[Outline]) -> list[list[int]]:
    """The indices of all but regularisation pictures; together those that show the same: a picture and its mirror
    image, the clips of one video."""
    groups = {}
    for i, sample in enumerate(known):
        if not sample.is_regularisation:
            groups.setdefault(sample.source or i, []).append(i)
    return list(groups.values())


def held_out(known: list[Outline], count: int) -> list[int]:
    """The indices of `count` pictures, spread over the set, the first of each source; 0: of all but regularisation
    pictures, which are never held out."""
    groups = by_source(known)
    if not count:
        return sorted(i for group in groups for i in group)
    return [groups[i][0] for i in sorted({(2 * i + 1) * len(groups) // (2 * count) for i in range(count)})]


def overfits(history: list[Measured]) -> str:
    """A sentence when the loss has risen from its lowest for three measures or more, else nothing."""
    history = [measured for measured in history if math.isfinite(measured.loss)]
    if not history:
        return ""
    best = min(history, key=lambda m: m.loss)
    later = history[history.index(best) + 1:]
    if len(later) < 3 or history[-1].loss < best.loss * SLACK:
        return ""
    return (f"It overfits: the validation loss was lowest at step {best.step} ({best.loss:.4f}) and is "
            f"{history[-1].loss:.4f} at step {history[-1].step}.")
