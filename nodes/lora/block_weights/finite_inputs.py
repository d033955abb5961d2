"""Numbers of inputs that must be finite: the host checks what is typed into a widget, and not what a link brings."""
import math


def check_finite(**inputs) -> None:
    """Raises ValueError with one sentence, which begins with the input's name, for the first that is no such number."""
    for name, number in inputs.items():
        if not _is_finite(number):
            raise ValueError(f"{name}: expected a finite number, got {number!r:.40}.")


def _is_finite(number) -> bool:
    try:
        return math.isfinite(number)
    except (TypeError, ValueError, OverflowError):
        return False
