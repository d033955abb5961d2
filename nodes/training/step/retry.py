"""Steps that failed and are taken again in another way: with less memory, or with the host's code rewritten."""
import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import comfy.model_management

from ...shared.full_memory import NothingSmaller, is_memory_full
from ..data.dataset import outlines
from .memory_plan import MemoryPlan, forget_peak, peak_on, plan_for
from .small_moments import shrink


class Memory:
    """rows: most samples in one forward pass, None for all that fit together; checkpoint: recompute the blocks."""

    def __init__(self, patcher, batch_size: int, checkpoint: bool):
        self.patcher, self.batch_size, self.checkpoint = patcher, batch_size, checkpoint
        self.rows: int | None = None
        self.saved_bytes = 0.0      # of activations that one sample keeps, where that is known
        self.offloaded, self.can_offload, self.swap = False, True, None
        self.plan: MemoryPlan | None = None
        self.notes: list[str] = []

    def plan_ahead(self, session) -> None:
        """Before the first step, on a card: takes the way that fits, and says so where it is another than asked."""
        self.plan, self.swap, note = plan_for(session, self.checkpoint)
        if note:
            self.notes.append(note)
        if self.plan:
            chosen = self.plan.chosen
            self.rows, self.checkpoint = chosen.rows if chosen.rows < self.batch_size else None, chosen.checkpoint
            if chosen.small:
                shrink(session)
                session.chosen.append(("AdamW's moments in 8 bits", "without them the training would not fit the card, "
                                       "and the recipe allows them"))

    def swapping(self):
        """The context of blocks that come and go, if there are any."""
        return self.swap.on() if self.swap else nullcontext()

    def settle_down(self) -> None:
        """Brings back swapped blocks that an error left in the computer's memory."""
        if self.swap and self.swap.away:
            self.swap.bring_back()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes the most that the card held, for the plan."""
        if not self.plan:
            yield
            return
        forget_peak(self.plan.device)
        try:
            yield
        finally:
            self.plan.reached = max(self.plan.reached, peak_on(self.plan.device))

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Within watched(): what is computed inside is no step of the plan's."""
        if self.plan:
            self.plan.reached = max(self.plan.reached, peak_on(self.plan.device))
        try:
            yield
        finally:
            if self.plan:
                forget_peak(self.plan.device)

    def tried(self) -> str:
        """What makes a step smaller and is done already."""
        done = ["one picture at a time"]
        done += ["recomputed blocks"] if self.checkpoint else []
        done += [f"{len(self.swap.blocks)} blocks swapped"] if self.swap else []
        done += ["half of the model outside the device"] if self.offloaded else []
        return " and ".join([", ".join(done[:-1]), done[-1]] if done[1:] else done)

    def back_off(self, step: int) -> bool:
        """Makes the next attempt smaller, in the cheapest way that is left; False when none is."""
        gc.collect()
        comfy.model_management.soft_empty_cache()
        self.settle_down()
        rows = self.rows or self.batch_size
        if rows > 1:
            self.rows = (rows + 1) // 2
            done = f"{self.rows} of the batch's {self.batch_size} pictures a forward pass"
        elif not self.checkpoint:
            self.checkpoint = True
            done = "each block is computed again in the backward"
        elif self._can_offload():
            self._offload()
            done = "half of the model's weights wait outside the device"
        else:
            return False
        self.notes.append(f"Memory was full at step {step}: {done} from there on.")
        return True

    def _can_offload(self):
        on_cpu = comfy.model_management.is_device_cpu(self.patcher.load_device)
        return self.can_offload and not self.offloaded and not on_cpu

    def _offload(self):
        self.offloaded, self.swap = True, None      # the host streams layer by layer from here on
        half = self.patcher.loaded_size() // 2
        self.patcher.partially_unload(self.patcher.offload_device, half)


def attempt(session, progress, work: Callable[[], None]) -> bool:
    """Does `work`, which takes steps of a Session; False where it failed and another way for the next one is ready.

    What no other way helps is raised, and a MemoryError where nothing smaller is left."""
    other_way = None
    try:
        work()
    except Exception as error:
        other_way = _other_way(session, error)
        if other_way is None:
            raise
    if other_way:                           # outside, where the error no longer holds the step's tensors
        other_way(session, progress)
    return other_way is None


def _other_way(session, error) -> Callable | None:
    if session.team and (session.team.apart or session.team.summed):    # the others no longer wait for this step
        return None
    if is_memory_full(error):
        return _back_off
    # What the self-check did not come across, such as another path for another size, may need it.
    return _rewrite if isinstance(error, RuntimeError) and not session.rewrites else None


def _rewrite(session, progress) -> None:
    session.forget_step()
    session.rewrites = True


def _back_off(session, progress) -> None:
    session.forget_step()
    if not session.memory.back_off(session.step + 1):
        raise NothingSmaller(f"Training stopped at step {session.step + 1} of {session.settings.steps}: memory is full "
                          f"with {session.memory.tried()}. {_what_would_fit(session)}")
    progress.say(session.memory.notes[-1])


def _what_would_fit(session) -> str:
    free = comfy.model_management.get_free_memory(session.denoiser.device)
    largest = max((sample.shape for sample in outlines(session.dataset.samples)), key=math.prod)
    scale, needed = session.model.latent_format.spacial_downscale_ratio, session.memory.saved_bytes
    share = min(0.7, max(0.1, free / needed) ** 0.5) if needed else 0.7
    height, width = (max(64, int(side * scale * share) // 64 * 64) for side in largest[-2:])
    return (f"{free / 2**20:,.0f} MB are free; pictures of about {width} x {height} may fit, or a lower rank or a "
            "smaller model.")
