"""An optimiser's moments in 8 bits instead of 32 (Dettmers et al. 2022, arXiv:2110.02861), by the package bitsandbytes.

They are the one thing in a memory plan that changes what is learnt, and little of a LoRA training: 6 bytes a trained
number. So they come last, and only where the recipe allows them."""
import importlib
import math
from dataclasses import replace

import torch

from ...shared.text_syntax import shorten
from .optimizers import Optimizer

FORMS = {"adamw": "adamw_8bit"}
INSTALL = "python -m pip install bitsandbytes, with ComfyUI's Python"
ALLOW = "which optimizer adamw_8bit_if_needed of Training Recipe takes"
BLOCK, LEAST = 256, 4096        # numbers that share a scale; parameters of fewer keep moments of 32 bits
MAP = 2 * BLOCK * 4             # bytes that translate the two moments, once for all parameters


def held_bytes(optimizer: Optimizer) -> int:
    """What the moments of an optimiser hold now."""
    return sum(value.numel() * value.element_size() for part in optimizer.parts for state in part.state.values()
               for value in state.values() if isinstance(value, torch.Tensor))


def small_bytes(adapters) -> int:
    """What AdamW's moments in 8 bits hold: a byte a number and 4 a block of each, below LEAST numbers 4 a number."""
    sizes = [group.part.stop - group.part.start for group in adapters.groups]
    return MAP + 2 * sum(size + 4 * math.ceil(size / BLOCK) if size >= LEAST else 4 * size for size in sizes)


def why_not(session) -> str:
    """Why the moments of a session cannot be made smaller, a clause for a sentence; "" where they can."""
    if not _is_alone(session):
        return "which optimizer adamw_8bit of Training Recipe takes on several devices"
    if session.continues:
        return "which a run that began with 32 does not change to"
    try:
        importlib.import_module("bitsandbytes")
    except Exception as error:      # of any kind: it looks for libraries of the card while it is imported
        return (f"which need the package bitsandbytes ({INSTALL})" if isinstance(error, ModuleNotFoundError) else
                f"but bitsandbytes cannot be imported ({shorten(str(error))})")
    return _why_no_step(session.denoiser.device)


def _why_no_step(device: torch.device) -> str:
    """Which devices it can work on depends on its version, so that it is asked."""
    from bitsandbytes.optim import AdamW8bit
    weights = torch.zeros(LEAST, device=device)
    weights.grad = torch.ones_like(weights)
    try:
        AdamW8bit([weights], lr=1e-3).step()
        moved = bool((weights < 0).all())
    except Exception as error:
        return f"but bitsandbytes cannot work on {device.type} ({shorten(str(error).partition(chr(10))[0])})"
    return "" if moved else f"but a step of bitsandbytes changes nothing on {device.type}"


def shrink(session) -> None:
    """Gives a session that has taken no step the 8-bit form of its optimiser; the settings name it from here on."""
    plan = session.settings.recipe.optimizer
    recipe = replace(session.settings.recipe, optimizer=replace(plan, name=FORMS[plan.name], may_shrink=False))
    session.settings = replace(session.settings, recipe=recipe)
    session.optimizer = None        # its moments go before the others come
    session.optimizer = Optimizer(session.adapters, recipe.optimizer, session.settings.learning_rate)


def follow(session, continues: str) -> None:
    """Takes the form that the run to go on with has, where the recipe leaves it open. continues: its optimiser's name,
    "" of a training that begins."""
    session.continues, plan = continues, session.settings.recipe.optimizer
    if plan.may_shrink and continues == FORMS[plan.name] and _is_alone(session):
        shrink(session)
        session.chosen.append(("AdamW's moments in 8 bits", "the run that is continued has them"))


def _is_alone(session) -> bool:
    return session.team is None or session.team.alone
