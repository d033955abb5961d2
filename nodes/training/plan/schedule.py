"""Learning rate schedules, as a share of the peak."""
import math

from .recipe import SchedulePlan

MOST_WARMUP = 100


def rate_factor(plan: SchedulePlan, step: int, steps: int) -> float:
    """Share of the learning rate at step 0, 1, ... of `steps`: linear warm-up, then the shape, from 1 to plan.final."""
    warmup = warmup_steps(plan, steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return plan.final + (1 - plan.final) * SHAPES[plan.shape or "cosine"](progress, plan)


def warmup_steps(plan: SchedulePlan, steps: int) -> int:
    """A twentieth of the run, 100 steps at most, unless the plan says otherwise."""
    return min(MOST_WARMUP, math.ceil(steps / 20)) if plan.warmup is None else plan.warmup


def _cosine(progress, plan):
    return (1 + math.cos(math.pi * progress)) / 2


def _cosine_restarts(progress, plan):
    """Loshchilov & Hutter 2017, arXiv:1608.03983, with cycles of equal length."""
    return _cosine(1.0 if progress == 1 else plan.cycles * progress % 1, plan)


def _rex(progress, plan):
    """Chen, Wolfe & Kyrillidis 2021, arXiv:2107.04197: slow at first, steep at the end."""
    return (1 - progress) / (1 - progress / 2)


SHAPES = {
    "constant": lambda progress, plan: 1.0,
    "linear": lambda progress, plan: 1 - progress,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "polynomial": lambda progress, plan: (1 - progress) ** 2,
    "rex": _rex,
}
