"""What is freed stays with the process, for processes that do one thing again and again."""
import ctypes
from contextlib import suppress

TRIM, MMAP = -1, -3     # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
LARGE = 1 << 30         # bytes
MOST_ONCE = 32 << 20    # that older versions of glibc take for MMAP; they refuse more


def keep() -> None:
    """Large tensors take the memory of those before them, where the C library is glibc; elsewhere nothing changes.

    By itself it gives large blocks back to the system, and each 4 KB that are fetched anew cost a page fault."""
    with suppress(OSError, TypeError, AttributeError):      # no library that can be asked, or one without mallopt
        mallopt = ctypes.CDLL(None).mallopt
        if mallopt(MMAP, LARGE) or mallopt(MMAP, MOST_ONCE):
            mallopt(TRIM, LARGE)    # alone it would keep MMAP at its 128 KB, and more would be given back than before
