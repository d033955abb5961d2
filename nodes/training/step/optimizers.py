"""Optimisers over the adapters' one flat buffer, behind one interface: clip, step, undo, save and load their state; and
the average of the weights."""
import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ....kernels.flat_optimizer import FUSED_DEVICES, FlatAdamW, ema_
from ..averaging.power_function_ema import decay as kept_at
from ..averaging.power_function_ema import exponent_of
from ..plan.recipe import OptimizerPlan

OF_THE_PLAN = ("betas", "weight_decay")
FUSED = (torch.optim.Adam, torch.optim.AdamW, FlatAdamW)
OF_8_BITS, MAPS, SCALES = ("state1", "state2"), ("qmap1", "qmap2"), ("absmax1", "absmax2")
MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


class Optimizer:
    """Steps `adapters.flat` with the optimiser a plan names. learning_rate: the run's at its peak; a group's own rate
    stands to it as factors say, and follows the same schedule.

    Raises ValueError for a name nobody knows and ImportError, with the package to install, for a missing library."""

    def __init__(self, adapters, plan: OptimizerPlan, learning_rate: float):
        if plan.name not in MAKERS:
            raise ValueError(f"optimizer: expected one of {', '.join(MAKERS)}, got {plan.name!r}.")
        self.flat, self.plan = adapters.flat, plan
        self.parts, factors = MAKERS[plan.name](adapters, plan)
        self.factors = [[factor(learning_rate) for factor in of_part] for of_part in factors]
        self.previous = self.flat.clone()

    def norm(self) -> torch.Tensor:
        return self.flat.grad.norm()

    def step(self, rate: float, norm: float) -> None:
        """One update at a learning rate, with the gradient of norm `norm` scaled down to plan.clip if it is larger."""
        if 0 < self.plan.clip < norm:
            self.flat.grad.mul_(self.plan.clip / norm)
        for part, factors in zip(self.parts, self.factors, strict=True):
            for group, factor in zip(part.param_groups, factors, strict=True):
                group["lr"] = rate * factor
        self.previous.copy_(self.flat)
        for part in self.parts:
            part.step()
        self.flat.grad.zero_()

    def undo(self) -> None:
        """Takes the last step back."""
        self.flat.copy_(self.previous)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The weights to keep: schedule-free optimisers train at another point than the average they end at."""
        ends_elsewhere = [part for part in self.parts if hasattr(part, "eval")]
        if not ends_elsewhere:
            yield
            return
        kept = self.flat.clone()
        for part in ends_elsewhere:
            part.eval()
        try:
            yield
        finally:
            for part in ends_elsewhere:
                part.train()
            self.flat.copy_(kept)           # there and back again rounds

    def state(self) -> list[dict]:
        return [part.state_dict() for part in self.parts]

    def load(self, state: list[dict]) -> None:
        """Takes back what state() gave; the plan's own betas and weight decay stay.

        Raises ValueError for tensors that are none of these parameters'."""
        for part, kept in zip(self.parts, state, strict=True):
            _check_sizes(part, kept["state"])
            own = [{key: group[key] for key in OF_THE_PLAN if key in group} for group in part.param_groups]
            part.load_state_dict(kept)
            for group, values in zip(part.param_groups, own, strict=True):
                group.update(values)
        self.previous.copy_(self.flat)


def _check_sizes(part, state: dict) -> None:
    """Optimisers keep single numbers, as many as a parameter has, or one a row or column; those of 8 bits a map of 256
    and a largest number for every 256. Fused ones and those of 8 bits trust the sizes: with a moment that is too short
    they read beyond its end."""
    parameters = [parameter for group in part.param_groups for parameter in group["params"]]
    for number, values in state.items():
        for name, value in _named(values):
            allowed = _sizes_of(name, parameters[number], isinstance(part, FUSED))
            if isinstance(value, torch.Tensor) and (value.numel() not in allowed or not value.isfinite().all()):
                raise ValueError(f"{name} of parameter {number} is no tensor of finite numbers of its size")


def _named(values: dict) -> Iterator[tuple[str, object]]:
    """bitsandbytes from 0.49 on keeps its tensors in a dict of their own."""
    for name, value in values.items():
        yield from value.items() if isinstance(value, dict) else [(name, value)]


def _sizes_of(name: str, parameter, is_fused: bool) -> set[int]:
    size = parameter.numel()
    exact = {**dict.fromkeys(MOMENTS if is_fused else (), size), "step": 1, **dict.fromkeys(OF_8_BITS, size),
             **dict.fromkeys(MAPS, 256), **dict.fromkeys(SCALES, -(-size // 256))}
    return {exact[name]} if name in exact else {0, 1, size, *(size // side for side in parameter.shape)}


class WeightAverage:
    """Exponential moving average of one tensor; young averages forget faster: decay at most (1 + n) / (10 + n).

    length: sigma_rel of a power-function average, which is kept instead where it is not 0."""

    def __init__(self, flat: torch.Tensor, decay: float, length: float = 0.0):
        self.flat, self.decay, self.mean, self.updates = flat, decay, flat.clone(), 0
        self.exponent = exponent_of(length) if length else None

    def update(self) -> None:
        young = (1 + self.updates) / (10 + self.updates)
        decay = min(self.decay, young) if self.exponent is None else kept_at(self.updates + 1, self.exponent)
        ema_(self.mean, self.flat, decay)
        self.updates += 1

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The average in the place of the weights."""
        kept = self.flat.clone()
        self.flat.copy_(self.mean)
        try:
            yield
        finally:
            self.flat.copy_(kept)


def _flat_groups(adapters):
    """One tensor a learning rate, as param groups, and the factor of each."""
    groups, factors = [], []
    for group in adapters.groups:
        view = adapters.flat[group.part]
        view.grad = adapters.flat.grad[group.part]
        groups.append({"params": [view]})
        factors.append(group.factor)
    return groups, factors


def _over_flat(make):
    """A maker for optimisers that treat every number alike."""
    def maker(adapters, plan):
        groups, factors = _flat_groups(adapters)
        return [make(groups, plan)], [factors]
    return maker


def _at_one_rate(make):
    """A maker for optimisers that find one size of step for everything."""
    def maker(adapters, plan):
        groups, factors = _flat_groups(adapters)
        if len(groups) > 1:
            raise ValueError(f"optimizer: {plan.name} trains all layers at one rate, the adapter asks for "
                             f"{len(groups)}. Choose adamw, or leave out lora_plus_ratio and rates of single layers.")
        return [make(groups, plan)], [factors]
    return maker


def _over_tensors(make, matrices_only=False):
    """A maker for optimisers that look at rows and columns; with matrices_only AdamW takes the rest."""
    def maker(adapters, plan):
        matrices, others = [], []
        for group in adapters.groups:
            tensors = [_as_matrix(adapters.parameters[name]) for name in group.names]
            matrices.append((group.factor, [t for t in tensors if t.ndim == 2 or not matrices_only]))
            others.append((group.factor, [t for t in tensors if t.ndim != 2 and matrices_only]))
        parts, factors = [], []
        for build, chosen in ((make, matrices), (_adamw, others)):
            chosen = [(factor, tensors) for factor, tensors in chosen if tensors]
            if chosen:
                parts.append(build([{"params": tensors} for _, tensors in chosen], plan))
                factors.append([factor for factor, _ in chosen])
        return parts, factors
    return maker


def _as_matrix(parameter):
    """A view [out, rest] of a convolution's kernel; anything else as it is."""
    if parameter.ndim < 3:
        return parameter
    view = parameter.detach().flatten(1)
    view.grad = parameter.grad.flatten(1)
    return view


def _library(module, name, package):
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ImportError(f"optimizer: {name} comes from the package {package}, which is not installed in ComfyUI's "
                          f"Python ({error}). Install it, or choose adamw.") from None


def _flat_adamw(adapters, plan):
    made = FlatAdamW(adapters.flat, plan.betas, plan.weight_decay, groups=[(g.part, {}) for g in adapters.groups])
    return [made.adamw], [[g.factor for g in adapters.groups]]


def _adamw(groups, plan):
    device = groups[0]["params"][0].device.type
    return torch.optim.AdamW(groups, betas=plan.betas, weight_decay=plan.weight_decay, fused=device in FUSED_DEVICES)


def _adamw_8bit(groups, plan):
    kind = _library("bitsandbytes.optim", "AdamW8bit", "bitsandbytes")
    return kind(groups, betas=plan.betas, weight_decay=plan.weight_decay)


def _lion(groups, plan):
    kind = _library("pytorch_optimizer", "Lion", "pytorch-optimizer")
    return kind(groups, betas=(0.9, 0.99), weight_decay=plan.weight_decay, weight_decouple=True)


def _came(groups, plan):
    kind = _library("pytorch_optimizer", "CAME", "pytorch-optimizer")
    return kind(groups, weight_decay=plan.weight_decay, weight_decouple=True)


def _prodigy(groups, plan):
    kind = _library("prodigyopt", "Prodigy", "prodigyopt")
    return kind(groups, lr=1.0, betas=plan.betas, weight_decay=plan.weight_decay, decouple=True,
                use_bias_correction=True, safeguard_warmup=True)


def _schedule_free(groups, plan):
    kind = _library("schedulefree", "AdamWScheduleFree", "schedulefree")
    made = kind(groups, betas=plan.betas, weight_decay=plan.weight_decay)
    made.train()
    return made


def _adafactor(groups, plan):
    if not hasattr(torch.optim, "Adafactor"):
        raise ImportError(f"optimizer: adafactor needs torch 2.5 or newer, this is {torch.__version__}.")
    return torch.optim.Adafactor(groups, lr=1e-2, weight_decay=plan.weight_decay)


def _muon(groups, plan):
    """With the scaling of Liu et al. 2025 (arXiv:2502.16982), under which it takes AdamW's learning rate."""
    if not hasattr(torch.optim, "Muon"):
        raise ImportError(f"optimizer: muon needs torch 2.9 or newer, this is {torch.__version__}.")
    return torch.optim.Muon(groups, weight_decay=plan.weight_decay, adjust_lr_fn="match_rms_adamw")


MAKERS = {
    "adamw": _flat_adamw, "adamw_8bit": _over_flat(_adamw_8bit), "lion": _over_flat(_lion),
    "prodigy": _at_one_rate(_prodigy), "schedule_free": _over_flat(_schedule_free),
    "adafactor": _over_tensors(_adafactor), "came": _over_tensors(_came),
    "muon": _over_tensors(_muon, matrices_only=True),
}
