"""Models that were distilled to a few steps or to a guidance of their own, and how each is used.

Steps, guidance and sampler are those of the host's own templates and of the models' cards."""
import re
from dataclasses import replace
from typing import NamedTuple

from .experts import model_file
from .recipe import SamplePlan
from .settings import Settings

NO, AUTOMATIC = "no", "automatic"
SAMPLED = SamplePlan()


class Distilled(NamedTuple):
    """kinds: classes in comfy.supported_models. named: what files of it are called. instead: what to train on."""
    kinds: tuple[str, ...]
    named: str
    steps: int
    sampler: str = "euler"
    scheduler: str = "simple"
    instead: str = ""
    cfg: float = 1.0


ADAPTER = "a training adapter for it as base_lora"
BESIDE = "the model without it, which the LoRA then works beside"
DISTILLED = {
    "Flux.1 schnell": Distilled(("Flux",), "schnell", 4, instead=f"{ADAPTER}, or Flux.1 dev"),
    "Flux.1 dev": Distilled(("Flux",), r"^(?!.*(turbo|hyper(?!real))).*flux1?.?dev", 20),
    "Flux.1 Turbo, Hyper": Distilled(("Flux",), "^(?=.*flux).*(turbo|hyper(?!real))", 8, instead="Flux.1 dev"),
    "Flux.2 klein": Distilled(("Flux2",), "klein(?!.*base)", 4, instead="Flux.2 klein base"),
    "Z-Image-Turbo": Distilled(("ZImage",), "turbo", 8, "res_multistep", instead=f"{ADAPTER}, or Z-Image"),
    "Krea 2 Turbo": Distilled(("Krea2",), "turbo", 8, instead="Krea 2"),
    "Qwen-Image Lightning": Distilled(("QwenImage",), "lightning", 4, instead=BESIDE),
    "SDXL Turbo": Distilled(("SDXL",), "turbo", 1, "euler_ancestral", instead="SDXL"),
    "SDXL Lightning": Distilled(("SDXL",), "lightning", 4, scheduler="sgm_uniform", instead="SDXL"),
    "SDXL Hyper": Distilled(("SDXL",), "hyper(?!real)", 8, scheduler="sgm_uniform", instead="SDXL"),
    "SDXL DMD2": Distilled(("SDXL",), "dmd2?", 4, "lcm", "sgm_uniform", "SDXL"),
    "LCM": Distilled(("SDXL", "SD15"), "lcm", 8, "lcm", "sgm_uniform", BESIDE),
    "SD3.5 large turbo": Distilled(("SD3",), "turbo", 4, instead="SD3.5 large"),
    "Wan lightx2v": Distilled(("WAN21_T2V",), "lightx2v|lightning|causvid", 4, instead=BESIDE),
    "LTX distilled": Distilled(("LTXV", "LTXAV"), "distill", 8, "euler_ancestral", instead="the model that is not"),
}
CHOICES = (NO, AUTOMATIC, *DISTILLED)


def for_distilled(settings: Settings, patcher) -> tuple[Settings, list[tuple[str, str]], list[str]]:
    """(settings whose samples are drawn as the model is used, [(what, why)], notes for the report).

    Raises ValueError for a kind that the model is not of."""
    recipe, kinds = settings.recipe, [kind.__name__ for kind in type(patcher.model.model_config).__mro__]
    seen = named(model_file(patcher), kinds)
    asked = recipe.distilled
    if asked == NO:
        return settings, [], [_hint(seen)] if seen and DISTILLED[seen].instead and not recipe.base_lora else []
    if asked == AUTOMATIC:
        if not seen:
            return settings, [("samples as of a model that is not distilled", "its file is not called like one")], []
        asked = seen
    kind = DISTILLED[asked]
    if not set(kind.kinds) & set(kinds):
        raise ValueError(f"distilled: expected {' or '.join(kind.kinds)} for {asked}, got "
                         f"{type(patcher.model).__name__}. Set distilled to {AUTOMATIC} or {NO}.")
    plan = _as_used(recipe.samples, kind, model_file(patcher))
    what = f"samples of {plan.steps} steps at cfg {plan.cfg:g}, {plan.sampler}, {plan.scheduler}"
    return (replace(settings, recipe=replace(recipe, samples=plan)), [(what, f"as {asked} is used")],
            [_warning(asked)] if kind.instead and not recipe.base_lora else [])


def named(file: str, kinds: list[str]) -> str:
    """Which distilled kind a model's file is called like, "" for none."""
    return next((title for title, kind in DISTILLED.items()
                 if set(kind.kinds) & set(kinds) and re.search(kind.named, file)), "")


def _as_used(plan: SamplePlan, kind: Distilled, file: str) -> SamplePlan:
    """What was set stays; the steps of a file's name count more than the kind's."""
    counted = re.search(r"(\d+)[\W_]?steps?", file)
    steps = int(counted[1]) if counted and 0 < int(counted[1]) <= 50 else kind.steps
    return replace(plan, steps=steps if plan.steps == SAMPLED.steps else plan.steps, cfg=plan.cfg or kind.cfg,
                   sampler=kind.sampler, scheduler=kind.scheduler)


def _warning(title: str) -> str:
    return (f"{title} is distilled: training it as it is undoes that, and its pictures turn soft. Better train on "
            f"{DISTILLED[title].instead}; see the help page about distilled models.")


def _hint(title: str) -> str:
    return (f"The model's file is called like {title}. If it is, set distilled of Training Recipe, so that sample "
            f"pictures are drawn as it is used, and train on {DISTILLED[title].instead}; see the help page about "
            "distilled models.")
