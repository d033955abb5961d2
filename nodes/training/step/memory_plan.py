"""Before the first step: how much memory it will take on the card, and what is done so that it fits."""
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import comfy.model_management
import torch

from ...shared.text_syntax import shorten
from ..model.layers import repeated_blocks
from . import small_moments
from .block_swap import ON_DEVICE, BlockSwap, saved_bytes
from .memory_trace import step_peak

ROOM = 0.95             # of the free memory that may be planned with; the allocator leaves gaps
# Bytes a trained number that an optimiser makes in its first step; AdamW has its own from the start, and that of 8 bits
# is counted by small_moments.
STATES = {"adamw": 0, "lion": 4, "adafactor": 0.1, "prodigy": 16, "schedule_free": 8, "came": 4.2,
          "muon": 4}
MB = 2 ** 20


class Way(NamedTuple):
    """How a step is taken. rows: pictures in one pass; swapped: blocks that rest in the computer's memory; small:
    whether AdamW's moments have 8 bits that have 32 otherwise."""
    rows: int
    checkpoint: bool
    swapped: int = 0
    small: bool = False

    def __str__(self):
        parts = [f"{self.rows} picture{'s' * (self.rows > 1)} a pass"]
        parts += ["blocks computed again in the backward"] if self.checkpoint else []
        parts += [f"{self.swapped} blocks swapped to the computer's memory"] if self.swapped else []
        parts += ["AdamW's moments in 8 bits"] if self.small else []
        return ", ".join(parts)


@dataclass
class MemoryPlan:
    """held: bytes on the device before the first step, the model's among them; needed: what a step adds, by way, as far
    as it was asked; free: what could be had; advice: what else would save some, where it does not fit."""
    device: torch.device
    held: int
    free: int
    asked: Way
    chosen: Way
    needed: dict[Way, int] = field(default_factory=dict)
    fits: bool = True
    reached: int = 0
    advice: str = ""

    @property
    def predicted(self) -> int:
        return self.held + self.needed[self.chosen]

    def sentence(self) -> str:
        """What the report says of it."""
        text = f"predicted {self.predicted / MB:,.0f} MB at most on the card"
        text += f", reached {self.reached / MB:,.0f} MB" if self.reached else ""
        if self.chosen != self.asked:
            asked = self.held + self.needed[self.asked]
            text += f"; {self.asked} would have taken {asked / MB:,.0f} MB of {(self.held + self.free) / MB:,.0f} MB"
        return f"{text}: {self.chosen}" + ("" if self.fits else f"; even so it is more than there is{self.advice}")


def plan_for(session, checkpoint: bool) -> tuple[MemoryPlan | None, BlockSwap | None, str]:
    """(plan, the swap it asks for, a note): nothing on the CPU, whose memory is not the card's; a note alone where a
    model's code cannot run without numbers."""
    device = session.denoiser.device
    if comfy.model_management.is_device_cpu(device):
        return None, None, ""
    try:
        made = plan(session, checkpoint)
    except Exception as error:      # of any kind: it is the host's code, on tensors it was not written for
        return None, None, (f"How much memory a step takes could not be predicted ({shorten(str(error))}); where it is "
                            "too much, the training finds out and goes on in smaller steps.")
    return made, swap_of(session, made.chosen), ""


def plan(session, must_checkpoint: bool, peak: Callable[[int, bool], int] | None = None) -> MemoryPlan:
    """The cheapest way to take a prepared session's steps that fits the free memory: as asked, fewer pictures a pass,
    blocks computed again, blocks swapped, and where the recipe allows it AdamW's moments in 8 bits, each where the ones
    before are not enough.

    peak: bytes of a step by (rows, checkpoint); by default that of memory_trace. Raises what that raises."""
    device, batch = session.denoiser.device, session.rows_at_once
    blocks = swappable_blocks(session.model.diffusion_model)
    need = _Need(session, blocks, peak or (lambda rows, checkpoint: step_peak(session, rows, checkpoint)))
    asked, free = Way(batch, must_checkpoint), comfy.model_management.get_free_memory(device)
    made = MemoryPlan(device, held_on(device), free, asked, asked)
    ways = list(_ways(asked, len(blocks) if saved_bytes(blocks, len(blocks), device) else 0))
    if _takes_first_that_fits(made, ways, need):
        return made
    plan, cannot = session.settings.recipe.optimizer, ""
    if need.saved and plan.may_shrink:
        cannot = small_moments.why_not(session)
        if not cannot and _takes_first_that_fits(made, [way._replace(small=True) for way in _smallest(ways)], need):
            return made
    made.fits = False
    if need.saved and not made.chosen.small:
        made.advice = _advice(need.saved, plan, cannot)
    return made


def _takes_first_that_fits(made: MemoryPlan, ways: list[Way], need) -> bool:
    for way in ways:
        made.chosen, made.needed[way] = way, need(way)
        if made.needed[way] <= ROOM * made.free:
            return True
    return False


def _smallest(ways: list[Way]) -> list[Way]:
    """Those of one picture whose blocks are computed again; the others take more than small moments save."""
    return [way for way in ways if way.rows == 1 and way.checkpoint]


def _advice(saved: int, plan, cannot: str) -> str:
    how = cannot or small_moments.ALLOW
    return f"; AdamW's moments in 8 bits, {how}, would take {saved / MB:,.3g} MB less"


class _Need:
    """Bytes a way adds to what is held; pictures add alike, so that two of a pass tell of all."""

    def __init__(self, session, blocks, peak):
        self.device, self.blocks, self.peak, self.traced = session.denoiser.device, blocks, peak, {}
        optimizer, name = session.optimizer, session.optimizer.plan.name
        held, small = small_moments.held_bytes(optimizer), small_moments.small_bytes(session.adapters)
        self.saved = held - small if name in small_moments.FORMS else 0
        self.states = 0 if held else small if name in small_moments.FORMS.values() else int(
            STATES.get(name, 8) * session.adapters.flat.numel())

    def __call__(self, way: Way) -> int:
        states = self.states - self.saved * way.small
        return states + self._step(way.rows, way.checkpoint) - saved_bytes(self.blocks, way.swapped, self.device)

    def _step(self, rows, checkpoint):
        if rows <= 2:
            return self._traced(rows, checkpoint)
        one, two = self._traced(1, checkpoint), self._traced(2, checkpoint)
        return two + (rows - 2) * (two - one)

    def _traced(self, rows, checkpoint):
        if (rows, checkpoint) not in self.traced:
            self.traced[rows, checkpoint] = self.peak(rows, checkpoint)
        return self.traced[rows, checkpoint]


def _ways(asked: Way, blocks: int):
    """From the quickest to the smallest."""
    rows = [asked.rows]
    while rows[-1] > 1:
        rows.append((rows[-1] + 1) // 2)
    for checkpoint in (False, True) if not asked.checkpoint else (True,):
        yield from (Way(each, checkpoint) for each in rows)
    yield from (Way(1, True, count) for count in range(ON_DEVICE + 1, blocks + 1))


def swappable_blocks(network: torch.nn.Module) -> list[torch.nn.Module]:
    """The repeated blocks, in the model's order."""
    return [block for _, block in repeated_blocks(network)]


def swap_of(session, way: Way) -> BlockSwap | None:
    blocks = swappable_blocks(session.model.diffusion_model)
    return BlockSwap(blocks, way.swapped, session.denoiser.device) if way.swapped else None


def held_on(device: torch.device) -> int:
    """Bytes that torch's tensors hold on a device; 0 where it does not count them."""
    return _asked("memory_allocated", device) or 0


def peak_on(device: torch.device) -> int:
    """The most they held since forget_peak."""
    return _asked("max_memory_allocated", device) or 0


def forget_peak(device: torch.device) -> None:
    _asked("reset_peak_memory_stats", device)


def _asked(name, device):
    """torch.accelerator counts every kind of card; before it did, torch.cuda its own."""
    of = torch.accelerator if hasattr(getattr(torch, "accelerator", None), name) else torch.cuda
    try:
        return getattr(of, name)(device)
    except (RuntimeError, ValueError, AssertionError, NotImplementedError):
        return None
