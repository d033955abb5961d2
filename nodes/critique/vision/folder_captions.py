"""Captions for a folder of pictures: a text file beside each, written as soon as its words are there."""
import errno
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import comfy.model_management
import numpy as np
import torch

from ...charts.chart_types.contact_sheet import Cell, sheet, thumbnail
from ...charts.drawing.draw import render
from ...charts.drawing.theme import LIGHT
from ...shared.atomic_write import write_unless_there, write_whole
from ...shared.markdown_table import cell
from ...shared.paired_files import captions_of, key, role
from ...shared.picture_file import read_picture
from ...shared.picture_folder import Listing, list_folder, require_pictures, shown, why_left_out
from ...shared.text_syntax import shorten
from ...shared.vision_model import Eye

KEEP, REPLACE = "keep", "replace"
LISTED, SHEET = 200, 48     # pictures in the report and on the contact sheet
LINES, COLUMNS = 5, 23      # of a caption below its picture
OF_ONE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)    # what other names of the folder do not meet
MOST_READ = 4000            # bytes of an old caption that are looked at
_written: Counter[Path] = Counter()     # how often this process wrote each caption


class Plan(NamedTuple):
    """What is asked of every picture. trigger_words: stand before each caption. existing: KEEP or REPLACE."""
    instruction: str
    trigger_words: str = ""
    existing: str = KEEP
    max_length: int = 256
    temperature: float = 0.0
    seed: int = 0


class Captioned(NamedTuple):
    """A picture with its words. is_new: written now. problem: why there are none."""
    path: Path
    name: str
    text: str = ""
    is_new: bool = False
    problem: str = ""


def caption_folder(eye: Eye, root: Path, plan: Plan, begin: Callable[[int], Callable[[], None]]) -> tuple:
    """(Listing, [Captioned]) of a folder and those below. begin: told how many are asked about, gives what counts them.

    Raises ValueError where there is no picture, where a caption cannot be written, and where no picture got one."""
    listing = list_folder(root)
    pictures = learnt(listing)
    require_pictures(listing._replace(pictures=pictures))
    known = captions_of(listing.others)
    asked = [path for path in pictures if plan.existing == REPLACE or key(path) not in known]
    count = begin(len(asked))
    done = list(_each(eye, listing, pictures, set(asked), known, plan, count))
    problems = [each for each in done if each.problem]
    if problems and len(problems) == len(done):
        raise ValueError(f"folder: no picture got a caption; {problems[0].name}: {problems[0].problem}.")
    return listing, done


def learnt(listing: Listing) -> list[Path]:
    """The pictures that a training learns: no masks, references and first halves."""
    return [path for path in listing.pictures if role(path) is None]


def _each(eye, listing, pictures, asked, known, plan, count) -> Iterator[Captioned]:
    written = {}
    for number, path in enumerate(pictures):
        comfy.model_management.throw_exception_if_processing_interrupted()
        name, target = listing.name(path), known.get(key(path), path.with_suffix(".txt"))
        if path not in asked:
            yield Captioned(path, name, _old(target))
        elif key(path) in written:
            yield Captioned(path, name, problem=f"{written[key(path)]} has the same name and the caption")
        else:
            own = plan._replace(seed=(plan.seed + number) % 2**64)
            yield (made := _captioned(eye, path, name, target, own, key(path) in known))
            if made.is_new:
                written[key(path)] = name
        if path in asked:
            count()


def _captioned(eye: Eye, path: Path, name: str, target: Path, plan: Plan, replaces: bool) -> Captioned:
    """replaces: the caption that was listed. One that came since, or that a picture of the same name in other letters
    has where small and capital ones are the same, is never written over."""
    try:
        pixels = _pixels(path)
    except ValueError as error:
        return Captioned(path, name, problem=str(error))
    answer = eye.write(pixels, plan.instruction, plan.max_length, plan.temperature, plan.seed)
    if not answer.text:
        return Captioned(path, name, problem=answer.missing)
    text = with_trigger(answer.text, plan.trigger_words)
    write = lambda beside: beside.write_text(text + "\n", encoding="utf-8")
    try:
        if replaces:
            write_whole(target, write)
        elif not write_unless_there(target, write):
            return Captioned(path, name, problem=f"{target.name} is there since the folder was listed, and stays")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in OF_ONE_NAME:
            return Captioned(path, name, problem=f"{shorten(target.name)} cannot be written ({reason})")
        raise ValueError(f"folder: the caption of {name} cannot be written ({reason}).") from None
    _written[target] += 1
    return Captioned(path, name, text, is_new=True)


def with_trigger(text: str, trigger_words: str) -> str:
    """The caption on one line, with the words before it, unless it holds them already."""
    text, words = " ".join(text.split()), " ".join(trigger_words.split()).strip(" ,")
    holds = not words or re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text, re.IGNORECASE)
    return text if holds else f"{words}, {text}"


def _pixels(path: Path) -> torch.Tensor:
    """IMAGE [1, H, W, 3]. Raises ValueError with a reason for what cannot be read."""
    return torch.from_numpy(np.array(read_picture(path).image.convert("RGB")))[None].float() / 255


def _old(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return " ".join(file.read(MOST_READ).split())
    except OSError as error:
        return f"({error.strerror})"


def state(root: Path, existing: str) -> list[str]:
    """Changes when there is something to caption that was not there: a picture, or with KEEP one without its text.

    What the node writes itself is no change: all that stands behind it would run once more."""
    listing = list_folder(root, lambda: None)
    known = captions_of(listing.others)
    found = []
    for path in learnt(listing):
        try:
            version = path.stat().st_mtime_ns
        except OSError:
            version = 0
        found.append(f"{listing.name(path)} {version} {_wants(path, known.get(key(path))) if existing == KEEP else ''}")
    return found


def _wants(path: Path, caption: Path | None) -> str:
    """The same before and after the node wrote the caption, and another once it is gone again."""
    times = _written[caption or path.with_suffix(".txt")]
    return f"caption {times - bool(caption)}" if times or not caption else ""


def report(listing: Listing, done: list[Captioned]) -> str:
    """Markdown: how many were written, the new captions, and what got none or was left out."""
    new, kept = [each for each in done if each.is_new], [each for each in done if not (each.is_new or each.problem)]
    without = [each for each in done if each.problem]
    counts = [f"{len(new)} written", *([f"{len(kept)} kept as they were"] if kept else []),
              *([f"{len(without)} without"] if without else [])]
    lines = [f"# Captions: {', '.join(counts)}"]
    if new:
        lines += ["", "| picture | caption |", "|---|---|"]
        lines += [f"| {_cell(each.name)} | {_cell(each.text)} |" for each in new[:LISTED]]
    lines += ["", f"and {len(new) - LISTED} more."] if len(new) > LISTED else []
    if kept:
        lines += ["", f"Kept, because they had a caption: {shown([each.name for each in kept])}."]
    lines += ["", *(f"- No caption for {each.name}: {each.problem}." for each in without[:LISTED])] if without else []
    lines += ["", f"and {len(without) - LISTED} more without a caption."] if len(without) > LISTED else []
    captions = set(captions_of(listing.others).values())
    left = why_left_out(listing, [path for path in listing.others if path not in captions])
    return "\n".join([*lines, *(["", *left] if left else [])])


def _cell(text: str) -> str:
    return cell(shorten(text, 400))


def contact_sheet(done: list[Captioned]) -> torch.Tensor:
    """IMAGE [1, H, W, 3]: pictures with their captions, the new ones first; at most SHEET of them."""
    ordered = sorted(done, key=lambda each: not each.is_new)
    rest = len(ordered) - SHEET
    return render(sheet([_picture(each) for each in ordered[:SHEET]], LIGHT, f"and {rest} more" if rest > 0 else ""),
                  LIGHT.paper)


def _picture(each: Captioned) -> Cell:
    try:
        pixels = thumbnail(_pixels(each.path))
    except ValueError:
        pixels = (torch.tensor(LIGHT.paper) / 255).expand(8, 8, 3)
    words = textwrap.wrap(each.text or each.problem, COLUMNS)
    cut = [*words[:LINES - 1], f"{words[LINES - 1]} ..."] if len(words) > LINES else words
    return Cell(pixels, (each.name, *cut, *[""] * (LINES - len(cut))))
