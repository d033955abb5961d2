"""What a model asks to change, read from whatever it wrote, and how much of it is done.

A step is damped, new = old + 0.7 (asked - old), and halved after a rejection, as mccoyspace/autocritic steers its
parameters. Words cannot be scaled: half a revision of a prompt is the first half of its edits.
"""
import ast
import json
import math
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

DAMPING = 0.7
LONGEST = 4000  # characters of a prompt
MEANINGS = {"cfg": "how closely the prompt is followed", "steps": "how many sampling steps"}
LIMITS = {"cfg": (0, 100), "steps": (1, 1000)}
NAMES = {"prompt": ("prompt", "revised prompt", "new prompt", "positive prompt", "positive"),
         "negative": ("negative", "negative prompt", "revised negative", "new negative prompt"),
         "cfg": ("cfg", "cfg scale", "guidance", "guidance scale"),
         "steps": ("steps", "sampling steps", "num inference steps"), "why": ("why", "reason", "because", "rationale")}
CALLED = {name: field for field, names in NAMES.items() for name in names}
NUMBER = re.compile(r"[-+]?\d*\.?\d+")
RANGE = re.compile(r"(?P<name>[a-z]+)\s*[=:]?\s*(?P<low>\d+\.?\d*)\s*(?:to|\.\.|-)\s*(?P<high>\d+\.?\d*)", re.I)
LINE = re.compile(rf"^\W*(?P<name>{'|'.join(sorted(CALLED, key=len, reverse=True))})\W*?[:=](?P<value>\s*\S.*)$",
                  re.I | re.M)


class Take(NamedTuple):
    """What a picture is made with. negative: None where it is no text; values: by the name of the parameter."""
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
    for piece in filter(None, (piece.strip() for piece in re.split(r"[;\n]", text))):
        read = RANGE.fullmatch(piece)
        name = read["name"].lower() if read else ""
        if name not in LIMITS:
            raise ValueError(f'ranges: expected {" and ".join(LIMITS)} with two ends, as "cfg 1 to 12", got "{piece}"')
        low, high = float(read["low"]), float(read["high"])
        least, most = LIMITS[name]
        if not least <= low < high <= most:
            raise ValueError(f'ranges: expected {name} to rise between {least} and {most}, got "{piece}"')
        found[name] = Parameter(name, low, high)
    return found


def read(text: str, space: dict[str, Parameter], negative: bool = True) -> Revision | None:
    """The revision in an answer: a JSON object, fenced or not, or lines such as `Prompt: ...`. None where none is."""
    for fields in _candidates(text[:4 * LONGEST]):
        revision = _revision(fields, space, negative)
        if revision.prompt or revision.negative is not None or revision.values:
            return revision
    return None


def applied(take: Take, asked: Revision, space: dict[str, Parameter], share: float = 1.0) -> Take:
    """The take after `share` of a revision, its numbers damped and held in their ranges."""
    moved = {name: space[name].held(take.values[name] + DAMPING * share * (to - take.values[name]))
             for name, to in asked.values.items()}
    prompt = take.prompt if asked.prompt is None else partly(take.prompt, asked.prompt, share)
    negative = take.negative if asked.negative is None else partly(take.negative or "", asked.negative, share)
    return Take(prompt, negative, {**take.values, **moved})


def partly(old: str, new: str, share: float) -> str:
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
    fenced = re.findall(r"```[a-z]*\s*(.*?)```", text, re.S | re.I)
    found = [each for piece in (*fenced, text) for each in _objects(piece)]
    yield from found
    if not found:  # plain lines, or an object that was cut off
        lines = {}
        for line in LINE.finditer(text):
            lines.setdefault(line["name"].lower(), line["value"].strip(" \t\r\n,*\"'`"))
        yield lines


def _objects(text: str) -> Iterator[dict]:
    for at in (brace.start() for brace in re.finditer("{", text)):
        found = _object(text[at:])
        if found is not None:
            yield found


def _object(text: str) -> dict | None:
    """The object that the text begins with, as JSON or as a Python literal; None where it is neither."""
    plain = re.sub(r",(\s*[}\]])", r"\1", text.translate({0x201c: '"', 0x201d: '"', 0x2019: "'"}))
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(plain)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(text[:text.index("}") + 1])
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
        found = NUMBER.search(entry)
        entry = float(found[0]) if found else None
    if isinstance(entry, bool) or not isinstance(entry, (int, float)) or not math.isfinite(entry):
        return None
    return float(entry)
