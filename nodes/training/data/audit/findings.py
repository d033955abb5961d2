"""The audit of a training set: what is found in which picture, what of it is left out, and how it is told."""
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ....shared.picture_file import Remark, sentences
from ....shared.picture_folder import shown
from ....shared.text_syntax import shorten
from ..buckets import Size
from .caption_faults import contradicts, in_every_caption, repeats_itself, shared
from .near_duplicates import Fingerprint, fingerprint, near_duplicates
from .picture_faults import Marks, marks
from .signs import WATERMARK, WRITING

FAULTS = {"duplicate": "Nearly the same as another picture", "soft": "Blurred, or enlarged from a smaller picture",
          "jpeg": "Damaged by JPEG", "small": "Much smaller than their size in training",
          "caption": "Captions that cannot be meant so",
          WRITING: "Writing in the picture",
          WATERMARK: "A watermark, logo or signature"}
SEEN = frozenset((WRITING, WATERMARK))      # faults that a vision model has to be asked about
SOFT = 5.0                  # fall of the spectrum: above it no sharp photograph was found
REPEATED = 0.3              # share of columns and rows
POOR_JPEG = 35.0            # quality
ENLARGED = 1.25             # times
UNBALANCED = 4.0            # times as often as another folder
MOST_COMMON = 12            # words that are named at most


class Look(NamedTuple):
    """What the audit keeps of a picture. scale: of the enlargement; chroma: mean of its strongest colour less its
    weakest, 0 to 1."""
    pixels: int
    scale: float
    chroma: float
    marks: Marks
    fingerprint: Fingerprint


def look_kept(look: Look) -> list:
    """As JSON."""
    bits, mirrored, coarse = look.fingerprint
    return [*look[:3], list(look.marks), bits, mirrored, coarse.hex()]


def look_from(kept: list) -> Look:
    """What look_kept made."""
    return Look(*kept[:3], Marks(*kept[3]), Fingerprint(*kept[4:6], bytes.fromhex(kept[6])))


class Finding(NamedTuple):
    """fault: of FAULTS; number: of the picture; size: the greater, the worse."""
    fault: str
    number: int
    detail: str
    size: float


def look(image: Image.Image, cropped: Size, scale: float) -> Look:
    """A picture in sRGB, and the size and scale that it is brought to."""
    colours = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BOX), np.int16)
    seen = image if scale >= 1 else ImageOps.fit(image.convert("RGB"), cropped, Image.Resampling.LANCZOS)
    return Look(image.width * image.height, scale, float(np.ptp(colours, axis=-1).mean() / 255), marks(image, seen),
                fingerprint(image))


def to_leave_out(typed: str) -> frozenset[str]:
    """Faults between commas or blanks. Raises ValueError for another word."""
    words = [word for word in re.split(r"[\s,]+", typed) if word]
    wrong = next((word for word in words if word not in FAULTS), None)
    if wrong:
        raise ValueError(f"leave_out: expected any of {', '.join(FAULTS)}, got {shorten(wrong)}.")
    return frozenset(words)


def findings(names: Sequence[str], captions: Sequence[str], looks: Sequence[Look | None],
             halt: Callable[[], object] = lambda: None, signs: Sequence[str | None] = ()) -> list[Finding]:
    """What is wrong with which pictures; looks: None for one that could not be read. halt: may raise. signs: what
    sign_in gave for each, or none where no vision model was asked."""
    found = [Finding(sign, number, "seen by the vision model", 4.0) for number, sign in enumerate(signs) if sign]
    for number, (caption, seen) in enumerate(zip(captions, looks, strict=True)):
        if seen:
            found += [Finding(fault, number, detail, size) for fault, detail, size in _of_one(caption, seen)]
    return found + _duplicates(names, looks, halt)


def notes(names: Sequence[str], captions: Sequence[str], shares: Sequence[int], found: Sequence[Finding],
          regular: Sequence[bool]) -> list[str]:
    """Sentences for the report. shares: how often an epoch shows each picture; regular: whether it is for
    regularisation, whose folders are compared with each other alone."""
    told = sentences([(names[each.number], Remark(FAULTS[each.fault], each.detail, each.size)) for each in found])
    everywhere, repeated = in_every_caption(captions), shared(captions)
    if everywhere:
        told.append(f"Named in every caption, so that it means whatever all pictures have: "
                    f"{shorten(shown(everywhere, MOST_COMMON), 400)}.")
    if repeated:
        told.append(f"{sum(repeated.values())} pictures share {len(repeated)} captions with others, such as "
                    f"\"{shorten(max(repeated, key=repeated.get), 80)}\" ({max(repeated.values())} pictures).")
    own, others = ([(name, share) for name, share, other in zip(names, shares, regular, strict=True) if other == which]
                   for which in (False, True))
    return told + _balance(own) + [f"Regularisation: {sentence}" for sentence in _balance(others)]


def _of_one(caption: str, seen: Look):
    """(fault, detail, size) of one picture and its caption."""
    if seen.marks.repeated > REPEATED:
        yield "soft", "rows and columns repeated", 10 + seen.marks.repeated
    elif seen.marks.spectral_fall > SOFT:
        yield "soft", f"spectrum falls by {seen.marks.spectral_fall:.1f}", seen.marks.spectral_fall
    if seen.marks.jpeg_quality < POOR_JPEG:
        yield "jpeg", f"quality about {seen.marks.jpeg_quality:.0f}", 100 - seen.marks.jpeg_quality
    if seen.scale > ENLARGED:
        yield "small", f"enlarged {seen.scale:.1f} times", seen.scale
    if not caption:
        yield "caption", "empty", 3.0
    if again := repeats_itself(caption):
        yield "caption", f"says \"{shorten(again, 40)}\" again", 1.0
    if both := contradicts(caption, seen.chroma):
        yield "caption", f"says {both}", 2.0


def _duplicates(names, looks, halt) -> list[Finding]:
    """Of pictures that are nearly the same all but the one with most pixels, the first of equal ones."""
    known, found = [number for number, seen in enumerate(looks) if seen], []
    for alike in near_duplicates([looks[number].fingerprint for number in known], halt):
        group = [known[number] for number in alike]
        kept = max(group, key=lambda number: (looks[number].pixels, -number))
        found += [Finding("duplicate", number, f"like {names[kept]}", 5.0) for number in group if number != kept]
    return found


def _balance(shown_often: Sequence[tuple[str, int]]) -> list[str]:
    """A sentence where one folder is shown far more often than another."""
    folders = Counter()
    for name, share in shown_often:
        folders[str(PurePosixPath(name).parent)] += share
    if len(folders) < 2 or max(folders.values()) <= UNBALANCED * min(folders.values()):
        return []
    listed = [f"{'the folder itself' if folder == '.' else folder} {count}" for folder, count in folders.most_common()]
    return [f"Folders are shown unequally often in an epoch: {shown(listed, MOST_COMMON)}. The number in a subfolder's "
            "name changes that."]
