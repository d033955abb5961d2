"""One training step's loss and gradient."""
from collections.abc import Iterator
from contextlib import closing

import torch

from ..adapters import Adapters
from .denoiser import Denoiser, Encoded, same_shapes
from .loss import Objective
from .pairs import pair_goals, sides


class Teacher:
    """The model without its adapters, called like a Denoiser, and the model at other strengths of them. reach: how many
    times half of a pair's change a full strength goes."""

    def __init__(self, denoiser: Denoiser, adapters: Adapters):
        self.denoiser, self.at, self.device, self.reach = denoiser, adapters.at, denoiser.device, 1.0

    def __call__(self, noisy, sigma, conds):
        with self.at(0.0):
            return self.denoiser(noisy, sigma, conds)


def backward(denoiser: Denoiser, objective: Objective, batch: list[Encoded], noise: list[torch.Tensor],
             sigma: torch.Tensor, rows: int | None = None, share: float = 1.0,
             teacher: Teacher | None = None, of: int | None = None) -> torch.Tensor:
    """Adds `share` of the gradient of the batch's mean loss to the adapters and returns that loss, on the device.

    noise[i] is shaped like batch[i].latent, sigma [B] on the CPU. Samples of equal shape share a forward pass, each
    with its own caption, `rows` of them at most; the result does not depend on how they are grouped. of: the length of
    the whole batch, where this is a part of one; loss and gradient are then the part's share.
    """
    total = torch.zeros((), device=denoiser.device)
    for group in group_by_shape(batch, rows):
        with closing(group_losses(denoiser, objective, [batch[i] for i in group], [noise[i] for i in group],
                                  sigma[group], teacher)) as parts:
            for losses in parts:
                mean = losses.sum() / (of or len(batch))
                if mean.requires_grad:      # not where dropout left every layer out
                    (mean * share if share != 1 else mean).backward()
                total = total + mean.detach()
    return total


def group_losses(denoiser: Denoiser, objective: Objective, group: list[Encoded], noise: list[torch.Tensor],
                 sigma: torch.Tensor, teacher: Teacher | None = None) -> Iterator[torch.Tensor]:
    """[B] losses of samples that share their shapes: those of pictures at once, those of pairs in two parts, a side
    each, whose sum is meant. A backward belongs before the next part is asked for, while the strength is the part's."""
    if group[0].before is None:
        yield sample_losses(denoiser, objective, group, noise, sigma, teacher)
        return
    goals = pair_goals(teacher, objective, group, noise, sigma, teacher.reach)
    for (strength, side), goal in zip(sides(group), goals, strict=True):
        with teacher.at(strength):
            yield sample_losses(denoiser, objective, side, noise, sigma, teacher, goal) / 2


def sample_losses(denoiser: Denoiser, objective: Objective, group: list[Encoded], noise: list[torch.Tensor],
                  sigma: torch.Tensor, teacher: Teacher | None = None, goal: torch.Tensor | None = None
                  ) -> torch.Tensor:
    """[B] losses of samples that share their shapes, in one forward pass. goal [B, C, ...]: what to learn instead.

    Where a mask is 0 the teacher, if given, is what the model should stay with (masked prior preservation); a sample
    with a lesson learns what the teacher makes of it instead of its picture."""
    device = denoiser.device
    # Without waiting: the CPU goes on to the next layers while the card still computes the last ones.
    clean, sigma, noise = (part.to(device, non_blocking=True) for part in
                           (torch.cat([sample.latent for sample in group]), sigma, torch.cat(noise)))
    noisy = objective.add_noise(clean, noise, sigma)
    conds = [sample.conds for sample in group]
    if goal is not None:
        clean = goal
    elif teacher is not None:
        clean = _taught(teacher, group, clean, noisy, sigma)
    denoised, mask = denoiser(noisy, sigma, conds), _masks(group, clean)
    losses = objective.losses(denoised, clean, sigma, mask)
    if mask is not None and teacher is not None and objective.plan.outside_mask:
        with torch.no_grad():
            kept = teacher(noisy, sigma, conds).float()
        outside = (1 - mask).expand_as(clean).flatten(1).mean(1)
        losses = losses + objective.plan.outside_mask * outside * objective.losses(denoised, kept, sigma, 1 - mask)
    weights = [sample.weight for sample in group]
    return losses if all(w == 1 for w in weights) else losses * torch.tensor(weights).to(device, non_blocking=True)


def needs_teacher(sample: Encoded) -> bool:
    return bool(sample.lesson) or sample.before is not None


def group_by_shape(batch: list[Encoded], rows: int | None = None) -> list[list[int]]:
    """Indices of the batch in groups that share a forward pass, none longer than `rows`."""
    groups = []
    for i, sample in enumerate(batch):
        home = next((group for group in groups
                     if len(group) != rows and same_shapes(batch[group[0]], sample)), None)
        if home is None:
            groups.append([i])
        else:
            home.append(i)
    return groups


@torch.no_grad()
def _taught(teacher, group, clean, noisy, sigma):
    """clean, with the sum of the teacher's predictions in the rows that have a lesson."""
    goal = clean.clone()
    for row, sample in enumerate(group):
        if sample.lesson:
            goal[row] = sum(share * teacher(noisy[[row]], sigma[[row]], [conds]).float()[0]
                            for share, conds in sample.lesson)
    return goal


def _masks(group, clean):
    if all(sample.mask is None for sample in group):
        return None
    whole = torch.ones_like(clean[:1, :1])
    return torch.cat([whole if s.mask is None else s.mask.to(clean.device, non_blocking=True).expand_as(whole)
                      for s in group])
