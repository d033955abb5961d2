"""What came of one fault that was put in."""
import re
from typing import NamedTuple

SENTENCE = re.compile(r"[^\s:][^:\n]{0,150}: \S.{3,}|[A-Z][^\n]{10,}", re.DOTALL)
# Kinds whose text is written for a person here; KeyError, TypeError and their like carry what Python says.
SPOKEN = (ValueError, OSError, FileNotFoundError, NotADirectoryError, PermissionError, MemoryError, FloatingPointError,
          RuntimeError)
RAW = re.compile(r"Traceback|object is not|has no attribute|list index|KeyError|codec can't|argument must|"
                 r"unpack|sequence element|embedded null|enforce fail|invalid literal|maximum recursion|os error")
LONGEST_QUOTE = 120 + len("...")     # of a text of dots the ellipsis behind its end is a quote too
LONGEST = 2600


class Outcome(NamedTuple):
    """fault: what was done; wrong: what came of it that must not, "" where all is well."""
    fault: str
    wrong: str = ""

    @property
    def ok(self) -> bool:
        return not self.wrong


def not_a_sentence(error: BaseException, given: str = "") -> str:
    """Why an error is no sentence for a person, "" where it is one; given: what came, of which it may quote some."""
    said = str(error)
    if type(error) not in SPOKEN:
        return f"{type(error).__name__} is Python's own error: {said[:200]}"
    if RAW.search(said) or not SENTENCE.match(said):
        return f"no sentence that names the input: {said[:200]!r}"
    if len(said) > LONGEST or given and longest_quote(said, given) > LONGEST_QUOTE:
        return f"quotes too much ({len(said)} characters): {said[:200]!r}"
    return ""


def longest_quote(said: str, given: str) -> int:
    """Characters of the longest piece of `given`, beyond LONGEST_QUOTE, that `said` repeats; 0 for none."""
    size = LONGEST_QUOTE + 1
    return size if any(said[at:at + size] in given for at in range(len(said) - size + 1)) else 0
