"""Wan 2.2's two experts: one removes the noise above a boundary, the other what is left; a LoRA is for one of them."""
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from comfy.model_base import WAN21, WAN21_Camera, WAN21_Vace

from .recipe import EXPERTS, TimestepPlan
from .settings import Settings

# Share of noise where the sampler changes over (Wan-Video/Wan2.2, wan/configs/wan_t2v_A14B.py and wan_i2v_A14B.py).
TEXT_TO_VIDEO, IMAGE_TO_VIDEO = 0.875, 0.9
LATENT_CHANNELS = 16        # a model that takes more is shown a picture or a control as well
HIGH, LOW = EXPERTS
ENDINGS = {expert: f"_{expert.split()[0]}" for expert in EXPERTS}      # of the names of an expert's files and runs


class Expert(NamedTuple):
    """settings: with the expert's range of noise; ending: of the names of its files; chosen: (what, why) or nothing;
    notes: for the report."""
    settings: Settings
    ending: str = ""
    chosen: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def for_expert(settings: Settings, patcher) -> Expert:
    """What the recipe's expert comes to on a model; None is read off the name of the model's file.

    Raises ValueError for a model that is no expert, and for a range of noise the expert has no part in."""
    plan = settings.recipe.timesteps
    asked, boundary = plan.expert, _boundary(patcher.model)
    if asked in EXPERTS and boundary is None:
        raise ValueError(f"expert: expected a Wan 2.2 model, which comes as two experts, for {asked!r}; got "
                         f"{type(patcher.model).__name__}. Set expert to none.")
    if asked is None and boundary is not None and (plan.low, plan.high) == (0.0, 1.0):
        asked = _named(patcher)
    if asked not in EXPERTS:
        return Expert(settings)
    ranged = _ranged(plan, asked, boundary)
    why = f"the part of Wan 2.2's {asked} expert" + ("" if plan.expert else ", as the model's file is called")
    note = "Sample pictures are drawn by this expert alone, at all levels of noise; the other one has no part in them."
    return Expert(replace(settings, recipe=replace(settings.recipe, timesteps=ranged)), ENDINGS[asked],
                  ((f"noise from {ranged.low:g} to {ranged.high:g}", why),), (note,))


def _boundary(model) -> float | None:
    """None for what does not come in two: other architectures, and Wan models with inputs of their own."""
    if type(model) not in (WAN21, WAN21_Vace, WAN21_Camera):
        return None
    shown = model.diffusion_model.patch_embedding.weight.shape[1]
    return IMAGE_TO_VIDEO if shown > LATENT_CHANNELS else TEXT_TO_VIDEO


def _named(patcher) -> str | None:
    """The expert that the name of the model's file speaks of."""
    found = re.findall(r"(high|low)[\W_]*noise", model_file(patcher))
    return f"{found[0]} noise" if len(set(found)) == 1 else None


def model_file(patcher) -> str:
    """The name of the model's file in small letters, where a loader of the host told it, else ""."""
    made = getattr(patcher, "cached_patcher_init", None)
    path = made[1][0] if made and len(made) > 1 and made[1] else None
    return Path(path).name.lower() if isinstance(path, str) else ""


def _ranged(plan: TimestepPlan, asked: str, boundary: float) -> TimestepPlan:
    low, high = (max(plan.low, boundary), plan.high) if asked == HIGH else (plan.low, min(plan.high, boundary))
    if not low < high:
        own = f"{boundary:g} to 1" if asked == HIGH else f"0 to {boundary:g}"
        raise ValueError(f"expert: the {asked} expert works on {own} of noise; min_timestep and max_timestep say "
                         f"{plan.low:g} to {plan.high:g}.")
    return replace(plan, low=low, high=high)
