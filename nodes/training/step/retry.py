"""Steps that failed and are taken again in another way: with less memory, or with the host's code rewritten."""
from collections.abc import Callable

from ..seen.progress import Progress
from .memory import is_memory_full
from .session import Session


def attempt(session: Session, progress: Progress, work: Callable[[], None]) -> bool:
    """Does `work`, which takes steps; False where it failed and another way to take the next one is prepared.

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


def _other_way(session, error) -> Callable[[Session, Progress], None] | None:
    if is_memory_full(error):
        return _back_off
    # What the self-check did not come across, such as another path for another size, may need it.
    return _rewrite if isinstance(error, RuntimeError) and not session.rewrites else None


def _rewrite(session: Session, progress: Progress) -> None:
    session.forget_step()
    session.rewrites = True


def _back_off(session: Session, progress: Progress) -> None:
    session.forget_step()
    if not session.memory.back_off(session.step + 1):
        raise MemoryError(f"Training stopped at step {session.step + 1} of {session.settings.steps}: the device's "
                          "memory is full with one picture at a time, recomputed blocks and half of the model outside "
                          "it. Try smaller pictures, a lower rank or a smaller model.")
    progress.say(session.memory.notes[-1])
