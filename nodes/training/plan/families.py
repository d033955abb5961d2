"""Where a training starts from when nobody said: the family's usual recipe, found from the model."""
from dataclasses import replace
from typing import NamedTuple

import torch

from ..model.frozen import is_linear
from ..model.layers import repeated_blocks
from .recipe import Recipe
from .settings import Settings

SMALL_MODEL, REFERENCE_WIDTH, MOST_SCALING = 200_000_000, 2048, 10.0


class Family(NamedTuple):
    """rate: for AdamW with alpha equal to the rank. shift and density: of flow models' noise levels."""
    title: str
    rate: float = 1e-4
    rank: int = 16
    shift: str | float = "model"
    density: str = "logit_normal"


# Start points that kohya's scripts, musubi-tuner, ai-toolkit, OneTrainer and diffusion-pipe agree on, by the host's
# class in comfy.supported_models; a subclass has its parent's.
FAMILIES = {
    "SD15": Family("Stable Diffusion 1.5"),
    "SD20": Family("Stable Diffusion 2"),
    "SDXL": Family("SDXL", rank=32),
    "SD3": Family("Stable Diffusion 3"),
    "Flux": Family("Flux.1", shift="none"),
    "Flux2": Family("Flux.2", rank=32, shift=3.0),
    "Chroma": Family("Chroma", shift="none"),
    "QwenImage": Family("Qwen-Image", rate=5e-5, shift=2.2),
    "ZImage": Family("Z-Image", rank=32, shift=2.0),
    "Lumina2": Family("Lumina 2", rank=8),
    "WAN21_T2V": Family("Wan", rank=32, shift=3.0),
    "Anima": Family("Anima", rate=3e-5, rank=24, shift="none"),
    "Krea2": Family("Krea 2", rank=32, shift=2.5),
    "LTXV": Family("LTX-Video", rank=32, shift="none"),
    "Ideogram4": Family("Ideogram 4", rate=5e-5, rank=32, shift=3.0),
}

# What an optimiser's rate is compared with AdamW's, or, where it measures its steps by itself, the rate it wants.
RATES = {
    "lion": ("times", 0.25, "Lion's steps have the full rate in every coordinate"),
    "came": ("times", 1.0, ""),
    "prodigy": ("exactly", 1.0, "Prodigy finds the size of its steps by itself"),
    "adafactor": ("exactly", 0.02, "Adafactor's rate is relative to the size of the weights"),
    "schedule_free": ("times", 2.5, "schedule-free averages bear larger steps"),
}


def family_of(model: torch.nn.Module) -> Family:
    """The family of a host model; one without an entry is trained as most flow and noise models are."""
    names = [kind.__name__ for kind in type(model.model_config).__mro__]
    known = next((FAMILIES[name] for name in names if name in FAMILIES), None)
    return known or Family(type(model).__name__)


def settle(settings: Settings, model: torch.nn.Module, flow: bool) -> tuple[Settings, list[tuple[str, str]]]:
    """(settings without gaps, [(what, why)] for each gap that was filled)."""
    family, recipe, chosen = family_of(model), settings.recipe, []
    rank, rate = settings.rank, settings.learning_rate
    if not rank:
        rank = family.rank
        chosen.append((f"rank {rank}", f"usual for {family.title}"))
    if not rate:
        rate, why = _rate(family, recipe.optimizer.name, model.diffusion_model)
        chosen.append((f"learning rate {rate:.3g}", why))
    recipe, notes = _settle_recipe(recipe, family, flow)
    return replace(settings, rank=rank, learning_rate=rate, recipe=recipe), chosen + notes


def _rate(family, optimizer, network):
    how, number, reason = RATES.get(optimizer, ("times", 1.0, ""))
    if how == "exactly":
        return number, reason
    size = sum(p.numel() for p in network.parameters())
    widths = sorted(m.in_features for _, block in repeated_blocks(network) for m in block.modules() if is_linear(m))
    width = widths[len(widths) // 2] if widths else REFERENCE_WIDTH
    scale = min(MOST_SCALING, max(1.0, REFERENCE_WIDTH / width)) if size < SMALL_MODEL else 1.0
    why = [f"usual for {family.title} with alpha equal to the rank"]
    if scale > 1:
        why.append(f"times {scale:.3g}, because this one is only {width} wide and the best rate goes with 1/width "
                   "(Yang et al. 2022, arXiv:2203.03466)")
    return family.rate * scale * number, "; ".join(why + [reason] * bool(reason))


def _settle_recipe(recipe: Recipe, family, flow):
    chosen, times, loss, schedule = [], recipe.timesteps, recipe.loss, recipe.schedule
    if times.density is None:
        density = family.density if flow else "uniform"
        times = replace(times, density=density)
        chosen.append(("noise levels logit-normal", "flow models learn most at middle noise (Esser et al. 2024)")
                      if flow else ("noise levels uniform", "noise models were trained so"))
    if times.shift is None:
        times = replace(times, shift=family.shift if flow else "none")
        if flow:
            chosen.append((_shift_name(family.shift), f"usual for {family.title}"))
    if loss.weighting is None:
        loss = replace(loss, weighting="none" if flow else "min_snr")
        chosen.append(("no loss weighting", "the noise levels are chosen instead") if flow
                      else (f"min-SNR {loss.gamma:g} loss weighting",
                            "it keeps the nearly clean steps from ruling the loss (Hang et al. 2023)"))
    if schedule.shape is None:
        calm = recipe.optimizer.name == "schedule_free"
        schedule = replace(schedule, shape="constant" if calm else "cosine")
        chosen.append(("constant rate after the warm-up", "schedule-free averages take the place of a decay") if calm
                      else (f"cosine to {schedule.final:.0%} of the rate",
                            "the calm end averages the noise of single pictures out"))
    return replace(recipe, timesteps=times, loss=loss, schedule=schedule), chosen


def _shift_name(shift):
    return {"model": "the model's own shift", "none": "no shift"}.get(shift, f"shift {shift}")
