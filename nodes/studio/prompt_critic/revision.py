"""What a model asks to change, read from whatever it wrote, and how much of it is done.

A change of a number is damped, new = old + 0.7 (asked - old), and halved after a rejection, as mccoyspace/autocritic
steers its parameters. Words cannot be scaled: half a revision of a prompt is the first half of its edits.
"""
import ast
import json
import math
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

from ...shared.text_syntax import Reader, check_length, shorten

DAMPING = 0.7
LONGEST = 4000  # characters of a prompt
MEANINGS = {"cfg": "how closely the prompt is followed", "steps": "how many sampling steps"}
LIMITS = {"cfg": (0, 100), "steps": (1, 1000)}
NAMES = {"prompt": ("prompt", "revised prompt", "new prompt", "positive prompt", "positive"),
         "negative": ("negative", "negative prompt", "revised negative", "new negative prompt"),
         "cfg": ("cfg", "cfg scale", "guidance", "guidance scale"),
         "steps": ("steps", "sampling steps", "num inference steps"), "why": ("why", "reason", "because", "rationale")}
CALLED = {name: field for field, names in NAMES.items() for name in names}
ASKED_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)")
NAME, IS, TO = re.compile("[a-z]+", re.I), re.compile("[=:]"), re.compile(r"to|\.\.|-", re.I)
LOW, HIGH = re.compile(r"\d+(?:\.(?!\.)\d*)?"), re.compile(r"\d+(?:\.\d*)?")
LINE = re.compile(rf"^[^\w\n]*(?P<name>{'|'.join(sorted(CALLED, key=len, reverse=True))})[^\w\n:=]*[:=]"
                  r"(?P<value>\s*\S.*)$", re.I | re.M)


class PromptCandidate(NamedTuple):
    """What pictures are sampled with. negative: None where it is no text; values: by the name of the parameter."""
    prompt: str
    negative: str | None
    values: dict[str, float]


class Parameter(NamedTuple):
    """A number that may be changed, between two ends."""
    name: str
    low: float
    high: float

    def held(self, value: float) -> float:
        value = min(self.high, max(self.low, value))
        return round(value) if self.name == "steps" else round(value, 3)


class Revision(NamedTuple):
    """What was asked for, None or no entry where nothing was; ignored: what was asked for and cannot be done."""
    prompt: str | None
    negative: str | None
    values: dict[str, float]
    why: str = ""
    ignored: tuple[str, ...] = ()


def parameters(text: str) -> dict[str, Parameter]:
    """`cfg 1 to 12; steps 8 to 40` -> what may be changed; empty text: the words alone.

    Raises ValueError, which quotes the piece that cannot be read."""
    found = {}
    check_length(text, "ranges")
    for piece in filter(None, (piece.strip() for piece in re.split(r"[;\n]", text))):
        parameter = _parameter(piece)
        found[parameter.name] = parameter
    return found


def _parameter(piece: str) -> Parameter:
    reader = Reader(piece)
    name = reader.take(NAME)
    reader.take(IS)
    ends = reader.take(LOW), reader.take(TO), reader.take(HIGH)
    if not name or name[0].lower() not in LIMITS or not all(ends) or not reader.ended:
        raise ValueError(f'ranges: expected {" and ".join(LIMITS)} with two ends, as "cfg 1 to 12", got '
                         f'"{shorten(piece)}"')
    name, low, high = name[0].lower(), float(ends[0][0]), float(ends[2][0])
    least, most = LIMITS[name]
    if not least <= low < high <= most:
        raise ValueError(f'ranges: expected {name} to rise between {least} and {most}, got "{shorten(piece)}"')
    return Parameter(name, low, high)


def read(text: str, space: dict[str, Parameter], negative: bool = True) -> Revision | None:
    """The revision in an answer: a JSON object, fenced or not, or lines such as `Prompt: ...`. None where none is."""
    for fields in _candidates(text[:4 * LONGEST]):
        revision = _revision(fields, space, negative)
        if revision.prompt or revision.negative is not None or revision.values:
            return revision
    return None


def apply_revision(candidate: PromptCandidate, asked: Revision, space: dict[str, Parameter],
                   share: float = 1.0) -> PromptCandidate:
    """The candidate after `share` of a revision, its numbers damped and held in their ranges."""
    moved = {name: space[name].held(candidate.values[name] + DAMPING * share * (to - candidate.values[name]))
             for name, to in asked.values.items()}
    prompt = candidate.prompt if asked.prompt is None else apply_edits(candidate.prompt, asked.prompt, share)
    negative = candidate.negative
    if asked.negative is not None:
        negative = apply_edits(negative or "", asked.negative, share)
    return PromptCandidate(prompt, negative, {**candidate.values, **moved})


def apply_edits(old: str, new: str, share: float) -> str:
    """The old words after the first `share` of the edits that make them the new ones, one edit at least."""
    if share >= 1:
        return new
    before, after = old.split(), new.split()
    steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    left = math.ceil(share * sum(kind != "equal" for kind, *_ in steps))
    words = []
    for kind, a, b, c, d in steps:
        done = kind != "equal" and left > 0
        left -= done
        words += after[c:d] if done else before[a:b]
    return " ".join(words)


def _candidates(text: str) -> Iterator[dict]:
    """What may be the fields of an answer, the likeliest first."""
    fenced = re.findall("```(.*?)```", text, re.S)
    found = [each for piece in (*fenced, text) for each in _objects(piece)]
    yield from found
    if not found:  # plain lines, or an object that was cut off
        lines = {}
        for line in LINE.finditer(text):
            lines.setdefault(line["name"].lower(), line["value"].strip(" \t\r\n,*\"'`"))
        yield lines


def _objects(text: str) -> Iterator[dict]:
    plain = text.translate({0x201c: '"', 0x201d: '"', 0x2019: "'"})
    plain = re.sub(r",(?=\s*[}\]])", " ", plain)     # as long as the text, so that places in both are the same
    for brace in re.finditer("{", text):
        found = _object(text, plain, brace.start())
        if found is not None:
            yield found


def _object(text: str, plain: str, at: int) -> dict | None:
    """The object that begins there, as JSON in plain or as a Python literal; None where it is neither."""
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(plain, at)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(text[at:text.index("}", at) + 1][:LONGEST])
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return None
    return found if isinstance(found, dict) else None


def _revision(fields: dict, space: dict[str, Parameter], negative: bool) -> Revision:
    flat = {}
    for name, value in fields.items():
        inner = value if isinstance(value, dict) else {name: value}
        flat.update({str(key).lower().replace("_", " ").strip(): entry for key, entry in inner.items()})
    words, values, ignored = {}, {}, []
    for called, entry in flat.items():
        field = CALLED.get(called)
        if field in space and (number := _number(entry)) is not None:
            values[field] = space[field].held(number)
        elif field in ("prompt", "why") or field == "negative" and negative:
            words[field] = _words(entry)
        else:
            ignored.append(called)
    prompt = words.get("prompt")
    return Revision(prompt if prompt and any(map(str.isalnum, prompt)) else None, words.get("negative"), values,
                    words.get("why") or "", tuple(ignored))


def _words(entry) -> str | None:
    if isinstance(entry, list):
        entry = ", ".join(map(str, entry))
    return " ".join(entry.split())[:LONGEST] if isinstance(entry, str) else None


def _number(entry) -> float | None:
    if isinstance(entry, str):
        found = ASKED_NUMBER.search(entry[:LONGEST])
        entry = found[0] if found else None
    if isinstance(entry, bool) or not isinstance(entry, (int, float, str)):
        return None
    try:
        number = float(entry)
    except OverflowError:   # an int of more digits than a float has room for
        return None
    return number if math.isfinite(number) else None
