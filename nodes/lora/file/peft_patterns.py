"""PEFT's patterns of module names: the alpha of a module is that of the first one that the end of its path matches.

As peft.utils.other.get_pattern_key has it, each is a regular expression that stands behind a dot or at the start. They
come out of files, so one that might be tried in too many ways is not read, and all together have a time.
"""
import re
import time
from collections.abc import Mapping
from itertools import accumulate

PLAIN = re.compile(r"\^?[\w.]+\$?")
ROOTS = re.compile(r"((base_model\.model|diffusion_model|transformer|unet)\.)*")
LONGEST_PATTERN, LONGEST_PATH = 200, 200     # characters
MOST_REPEATS = 3        # of a pattern: what it is tried in grows as the length of the path to this power
SECONDS = 1.0


class Patterns:
    """values: what a header has for each pattern. unread: the patterns that are left out."""

    def __init__(self, values: Mapping[str, object]):
        self.values, self.unread = list(values.values()), []
        self._plain: dict[str, int] = {}
        self._expressions: list[tuple[int, str, re.Pattern]] = []
        for place, pattern in enumerate(values):
            self._sort_in(place, pattern)
        self._left = SECONDS

    def find(self, path: str) -> object | None:
        """The value of the first pattern that a path matches; None where there is none."""
        ends = accumulate(reversed(path.split(".")), lambda end, part: f"{part}.{end}")
        found = [self._plain[end] for end in ends if end in self._plain]
        first = min(found, default=len(self.values))
        if self._expressions and first:
            first = self._first_expression(path, first)
        return self.values[first] if first < len(self.values) else None

    def _sort_in(self, place: int, pattern: str) -> None:
        if PLAIN.fullmatch(pattern):
            self._plain.setdefault(pattern.strip("^$"), place)
        elif expression := _compiled(pattern):
            self._expressions.append((place, pattern, expression))
        else:
            self.unread.append(pattern)

    def _first_expression(self, path: str, before: int) -> int:
        started = time.monotonic()
        for place, pattern, expression in self._expressions:
            if place > before:
                break
            if len(path) > LONGEST_PATH or time.monotonic() - started > self._left:
                self.unread += [] if pattern in self.unread else [pattern]
            elif expression.fullmatch(path[ROOTS.match(path).end():] if pattern.startswith("^") else path):
                before = place
                break
        self._left -= time.monotonic() - started
        return before


def _compiled(pattern: str) -> re.Pattern | None:
    """What PEFT makes of a pattern; None for one that is no expression, or too much of one."""
    bare = re.sub(r"\\.", "x", pattern)
    repeats = len(re.findall(r"[*+{]", bare))
    if len(pattern) > LONGEST_PATTERN or repeats > MOST_REPEATS or re.search(r"\)[*+{]", bare):
        return None
    try:
        return re.compile(rf"({pattern})" if pattern.startswith("^") else rf"(.*\.)?({pattern})")
    except (re.error, RecursionError, OverflowError):
        return None
