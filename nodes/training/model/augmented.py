"""Tells `a += b` from `a.add_(b)`: both call the same function, only the first may be replaced by `a = a + b`."""
import dis

AUGMENTED_OPCODES = {dis.opmap[name] for name in dis.opmap if name == "BINARY_OP" or name.startswith("INPLACE_")}


def is_augmented_assignment(frame) -> bool:
    """True when the frame is at an operator (`+=`), not at a call, on Python 3.10 (INPLACE_*) and later (BINARY_OP).

    co_code holds the unspecialised bytecode; f_lasti is a byte offset into it.
    """
    return frame.f_code.co_code[frame.f_lasti] in AUGMENTED_OPCODES
