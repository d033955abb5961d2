"""Why a run that has results already ends early and keeps them."""
import comfy.model_management

from ..shared.full_memory import is_memory_full
from ..shared.text_syntax import shorten
from ..training.distributed.team import RankFailed

CANCELLED = "cancelled"
CUTS = Exception, comfy.model_management.InterruptProcessingException     # which is no Exception in every host


def why_it_ends(error: BaseException) -> str:
    """CANCELLED for a Cancel; what happened where memory is full, a rank is gone or a file cannot be read; "" for what
    the run must not live through."""
    if isinstance(error, comfy.model_management.InterruptProcessingException):
        return CANCELLED
    if is_memory_full(error):
        return f"memory was full ({_said(error)})"
    return _said(error) if isinstance(error, RankFailed | OSError | ValueError) else ""


def told(why: str, done: int, asked: int, things: str, were: str) -> str:
    """The sentence of a report on a run that `why` ended after `done` of the `asked` things, which were drawn."""
    if why == CANCELLED:
        return f"Cancelled after {done} of {asked} {things}; these were {were}."
    return f"**Ended after {done} of {asked} {things}**, which were {were}: {why}."


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return shorten(lines[0] if lines else type(error).__name__, 300).rstrip(".")
