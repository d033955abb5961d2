"""What the small text languages of the pack have in common: length, notes, statements, and reading in linear time.

Texts are read while a prompt is checked, when the server can answer nobody else. So each has a limit of length, and
a reader moves forward only: a pattern that it is given must have one way to match, and never one that it takes back.
"""
import re

LONGEST = 20_000  # characters of a text
QUOTED = 120  # characters of a text that a sentence about it may quote
NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
BLANKS = re.compile(r"\s*")
BLANKS_OF_A_LINE = re.compile(r"[^\S\n]*")
NOT_SHOWN = re.compile("[\0\ud800-\udfff]")  # what neither a terminal nor a file of UTF-8 takes


def shorten(text: str, limit: int = QUOTED) -> str:
    """The text, cut to a length that an error message can carry."""
    short = text if len(text) <= limit else text[:limit - 3] + "..."
    return NOT_SHOWN.sub("\N{REPLACEMENT CHARACTER}", short)


def printable(text: str) -> str:
    """Text that can be written as UTF-8: bytes of a file name that are no text stand as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def check_length(text: str, field: str) -> None:
    """Raises ValueError, which begins with the input's name, for a text that is too long."""
    if len(text) > LONGEST:
        raise ValueError(f"{field}: expected at most {LONGEST} characters, got {len(text)}")


def lines(text: str, field: str) -> list[str]:
    """The lines of a text without their notes, which # begins. Raises ValueError as check_length does."""
    check_length(text, field)
    return [line.partition("#")[0] for line in text.splitlines()]


def statements(text: str, field: str) -> list[str]:
    """What `;` and new lines separate, without notes, blanks around it and empty ones. Raises as lines does."""
    return [piece for line in lines(text, field) for part in line.split(";") if (piece := part.strip())]


def fits(pattern: str, name: str) -> bool:
    """Whether a name is that of a pattern, in which * stands for any characters.

    Each piece between two stars is looked for once, after the one before, so many stars take no longer than few."""
    first, *inner = pattern.split("*")
    if not inner:
        return pattern == name
    *inner, last = inner
    if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in inner:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


class Reader:
    """Reads a text from left to right. blanks: what may stand before everything that is taken."""

    def __init__(self, text: str, blanks: re.Pattern = BLANKS):
        self.text, self.blanks = text, blanks
        self.at = 0

    def take(self, pattern: re.Pattern) -> re.Match | None:
        """What of the pattern stands here, after blanks; None, and nothing is taken, where it does not."""
        found = pattern.match(self.text, self.blanks.match(self.text, self.at).end())
        if found:
            self.at = found.end()
        return found

    def until(self, pattern: re.Pattern) -> str:
        """Everything before the next place where the pattern stands, or to the end."""
        found = pattern.search(self.text, self.at)
        start, self.at = self.at, found.start() if found else len(self.text)
        return self.text[start:self.at].strip()

    @property
    def ended(self) -> bool:
        return self.blanks.match(self.text, self.at).end() == len(self.text)

    @property
    def rest(self) -> str:
        return self.text[self.at:].strip()
