"""A folder of pictures as trainers lay it out: captions and masks beside them, repeats in the names of subfolders.

`05.png` has its caption in `05.txt` (or `05.caption`), its mask in `05_mask.png` or `05-masklabel.png`, and for editing
models the picture it starts from in `05_reference.png`. Where only a change is to be learnt, `05_before.png` is the
picture without it. A subfolder `10_lantern` shows its pictures ten times an epoch. Where videos are learnt, the frames
of one may lie in a subfolder `05_frames`, whose caption is `05.txt` beside it.
"""
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ...shared.paired_files import BEFORE, REFERENCE, captions_of, key, role
from ...shared.picture_folder import CAPTIONS, VIDEOS, Listing, quoted, require_pictures, same_name, shown, why_left_out
from ...shared.video_file import is_animation
from .captions import read_caption

FRAMES = "_frames"
REPEATS = re.compile(r"(\d{1,9})_\S", re.ASCII)
MOST_REPEATS = 10_000


class Found(NamedTuple):
    """One picture of a folder, or one video, whose path may be a folder of frames. name: its path below the folder;
    caption and what lies beside it: None where none is. is_video: whether it has frames; frames: those of a folder."""
    path: Path
    name: str
    caption: str | None
    mask: Path | None
    reference: Path | None
    repeats: int
    before: Path | None = None
    is_video: bool = False
    frames: tuple[Path, ...] = ()


class Beside(NamedTuple):
    """The files of a folder by what they belong to: (folder, name of the picture without its ending) -> file."""
    captions: dict[tuple, Path]
    masks: dict[tuple, Path]
    references: dict[tuple, Path]
    before: dict[tuple, Path]


def scan(listing: Listing, halt: Callable[[], object] = lambda: None, videos: bool = False) -> list[Found]:
    """Every picture of a folder that is to be learnt, by name, with `videos` every video, animation and folder of
    frames too. halt: called before each, may raise.

    Raises ValueError when there is none, or half a pair, or a caption that cannot be read."""
    folders = _frame_folders(listing) if videos else {}
    framed = {path for frames in folders.values() for path in frames}
    listing = listing._replace(pictures=[path for path in listing.pictures if path not in framed])
    files = {path for path in listing.others if path.suffix.lower() in VIDEOS}
    pictures = [path for path in listing.pictures if role(path) is None]
    if files and not pictures and not videos:
        raise ValueError(f"folder: expected at least one picture, got {len(files)} videos in "
                         f"{quoted(listing.root.name)}. To learn videos, write how many frames of them into frames, "
                         "such as 33.")
    files = files if videos else set()
    require_pictures(listing._replace(pictures=[*pictures, *files, *folders]))
    beside, found = _beside(listing), []
    for path in sorted([*pictures, *files, *folders]):
        halt()
        own = _own_key(path)
        caption = beside.captions.get(own)
        found.append(Found(path, listing.name(path), caption and read_caption(caption), beside.masks.get(own),
                           beside.references.get(own), _repeats(listing.root, path), beside.before.get(own),
                           videos and (path in folders or path in files or is_animation(path)),
                           tuple(folders.get(path, ()))))
    _check_pairs(listing, found)
    return found


def _frame_folders(listing: Listing) -> dict[Path, list[Path]]:
    """{folder of frames: its frames}"""
    found = {}
    for path in listing.pictures:
        if path.parent != listing.root and path.parent.name.lower().endswith(FRAMES):
            found.setdefault(path.parent, []).append(path)
    return found


def unused(listing: Listing, found: list[Found], masks: bool) -> list[str]:
    """What lies in a folder and has no part in the training, a sentence each; masks: whether masks are used."""
    used = {path for each in found for path in (each.path, *each.frames)}
    listing = listing._replace(pictures=[path for path in listing.pictures if path not in used],
                               others=[path for path in listing.others if path not in used])
    known, beside = {_own_key(picture.path) for picture in found}, _beside(listing)
    captions = [path for path in listing.others if path.suffix.lower() in CAPTIONS]
    others = [path for path in listing.others if path.suffix.lower() not in CAPTIONS]
    roles = [path for path in listing.pictures if role(path)]
    taken = {path for group in beside for path in group.values()}
    strays = [path for path in [*roles, *captions] if _belongs_to(path) not in known]
    doubles = [path for path in [*roles, *captions] if _belongs_to(path) in known and path not in taken]
    hidden = [picture.name for picture in found if picture.mask] if not masks else []
    capped = [picture.name for picture in found if picture.repeats != _asked_repeats(listing.root, picture.path)]
    names = lambda paths: shown(sorted(map(listing.name, paths)))  # noqa: E731
    return [sentence for sentence in (
        f"Left alone, because no picture has that name: {names(strays)}." if strays else "",
        f"Left alone, because another file has their part: {names(doubles)}." if doubles else "",
        f"Masks lie beside {shown(hidden)} and are not used: masks is not set to files." if hidden else "",
        f"Shown at least once and at most {MOST_REPEATS} times an epoch, whatever their folder says: {shown(capped)}."
        if capped else "") if sentence] + why_left_out(listing, others) + _about_videos(others)


def _about_videos(others: list[Path]) -> list[str]:
    some = any(path.suffix.lower() in VIDEOS for path in others)
    return ["Videos are learnt where frames says how many frames of them, such as 33."] if some else []


def _beside(listing: Listing) -> Beside:
    """Of two files with one part the first in the order of CAPTIONS and of names has it."""
    beside = Beside(captions_of(listing.others), {}, {}, {})
    for path in listing.pictures:
        if part := role(path):
            kind = {REFERENCE: beside.references, BEFORE: beside.before}.get(part, beside.masks)
            kind.setdefault(_belongs_to(path), path)
    return beside


def _belongs_to(path: Path) -> tuple:
    return key(path, len(role(path) or "") if path.suffix.lower() not in CAPTIONS else 0)


def _own_key(path: Path) -> tuple:
    """That of a picture; a folder of frames goes by what it is of."""
    if path.name.lower().endswith(FRAMES):
        return path.parent, same_name(path.name[:-len(FRAMES)])
    return key(path)


def _check_pairs(listing: Listing, found: list[Found]) -> None:
    before = [path for path in listing.pictures if role(path) == BEFORE]
    partners = {key(picture.path) for picture in found}
    for path in before:
        if _belongs_to(path) not in partners:
            raise ValueError(f"folder: {listing.name(path)} has no partner; expected "
                             f"{path.stem[:-len(BEFORE)]}{path.suffix} beside it, the picture it becomes.")
    video = next((picture for picture in found if picture.is_video and picture.before), None)
    if video:
        raise ValueError(f"folder: expected pairs of pictures, {video.name} is a video and has "
                         f"{video.before.name} beside it.")
    alone = [picture.name for picture in found if picture.before is None]
    if before and alone:
        raise ValueError(f"folder: expected a picture named {Path(alone[0]).stem}{BEFORE}.png beside {alone[0]}, as "
                         f"other pictures have one; {len(alone)} of {len(found)} have none ({shown(alone)}).")


def _repeats(root: Path, path: Path) -> int:
    return min(MOST_REPEATS, max(1, _asked_repeats(root, path)))


def _asked_repeats(root: Path, path: Path) -> int:
    match = REPEATS.match(path.parent.name) if path.parent != root else None
    return int(match[1]) if match else 1
