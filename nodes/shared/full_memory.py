"""Whether an error says that memory is full, in whichever words."""
import comfy.model_management

# Of torch's allocator, oneDNN, mapped files and the system, which raise errors of other kinds for it.
SIGNS = ("can't allocate memory", "not enough memory", "Cannot allocate memory", "could not create a primitive")


class NothingSmaller(MemoryError):
    """Says in a sentence what was tried and what would fit."""


def is_memory_full(error: BaseException) -> bool:
    """True for the device's out-of-memory errors, Python's own, and what libraries raise on the CPU."""
    if getattr(error, "elsewhere", False):          # what it quotes happened in another process
        return False
    return (comfy.model_management.is_oom(error) or isinstance(error, MemoryError)
            or isinstance(error, Exception) and any(sign in str(error) for sign in SIGNS))
