"""What Rank Images does when it runs: every picture of a batch, a list or a folder judged, then sorted."""
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import comfy.utils
import folder_paths
import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...shared import picture_folder
from ...shared.picture_choice import parse as parse_choice
from ...shared.picture_choice import selected
from ..examination import judge_picture, measurable
from ..explain.phrases import SPOKEN_OF
from ..gallery.as_reference import columns_for
from ..gallery.measuring import check_tabled
from ..picture.planes import check
from ..reference import collection
from ..reference.distributions import paintings
from ..report import ranking
from ..rubric.rubric_language import parse
from ..score.judge import check_measured, check_total, judge, needed

SORTED, SORTED_BYTES = 100, 10 ** 9     # pictures at most that `sorted` holds of a folder: all of them lie in memory


class Candidate(NamedTuple):
    """A picture to rank: its name, itself [1, H, W, C] or the file that it lies in, and what was measured of it where
    that is known."""
    name: str
    image: Tensor | None
    path: object = None
    measures: dict[str, float] | None = None

    def load(self) -> Tensor:
        return collection.load(self.path)[0] if self.image is None else self.image


def rank(images: Sequence[Tensor], rubric: str, keep: int, reference, folder: str, table: str = "",
         where: str = "") -> io.NodeOutput:
    """The outputs of the node. Raises ValueError with one sentence where the rubric holds nothing that can count, or
    there is nothing to rank."""
    judged_by, held_against = parse(rubric), reference or paintings()
    check_total(judged_by)
    if table.strip():
        check_tabled(judged_by)
    if folder.strip() or any(batch is not None for batch in images):
        check_measured(held_against, judged_by, measurable(held_against))
    found = picture_folder.list_folder(picture_folder.locate(folder)) if folder.strip() else None
    tabled, note = _in_table(table, where, held_against, judged_by)
    candidates = [*_given(images), *_lying(found), *tabled]
    if not candidates:
        raise ValueError("images: expected pictures, a folder of them or a table, got none of these")
    many = bool(found or tabled)
    ranked, broken = _judged(candidates, held_against, judged_by)
    ranked, pictures, gone = _opened(ranked, keep, many)
    critiques, names = [critique for _, critique in ranked], [candidate.name for candidate, _ in ranked]
    written = ranking.write(critiques, range(len(ranked)), keep, held_against, names)
    written = "\n\n".join([written, *note, *_held(pictures, ranked), *_left_out([*broken, *gone], found)])
    return io.NodeOutput(together(pictures[:keep]), together(pictures), [critique.score for critique in critiques],
                         written, ui={"text": (written,)})


def _opened(ranked: list, keep: int, many: bool) -> tuple[list, list[Tensor], list[str]]:
    """(the candidates with their critiques, the best first; the pictures of the first; a sentence for each that could
    not be opened and is left out). many: of pictures from the disk no more are opened than are kept, or than SORTED and
    those with which SORTED_BYTES are reached."""
    waiting = deque(ranked[place] for place in ranking.order([critique.score for _, critique in ranked]))
    done, pictures, gone = [], [], []
    while waiting and (not many or len(pictures) < keep
                       or len(pictures) < SORTED and sum(each.nbytes for each in pictures) < SORTED_BYTES):
        candidate, critique = waiting.popleft()
        try:
            pictures.append(candidate.load())
            done.append((candidate, critique))
        except ValueError as error:
            gone.append(f"{candidate.name}: {error}")
    if not done:
        raise ValueError(f"table: expected at least one picture that can be opened, got {'; '.join(gone[:3])}")
    return [*done, *waiting], pictures, gone


def _held(pictures: list[Tensor], ranked: list) -> list[str]:
    if len(pictures) == len(ranked):
        return []
    return [f"`sorted` holds the first {len(pictures)} of {len(ranked)}: of pictures from the disk those that are "
            f"kept, or at most {SORTED}, and no more once they take {SORTED_BYTES // 10 ** 6} MB."]


def together(pictures: Sequence[Tensor]) -> list[Tensor]:
    """One batch where all are of one size, else a list of them."""
    alike = len({tuple(picture.shape[1:]) for picture in pictures}) == 1
    return [torch.cat(list(pictures))] if alike else list(pictures)


def _given(images: Sequence[Tensor]) -> Iterator[Candidate]:
    each = [image for batch in images if batch is not None for image in _coloured(batch).split(1)]
    return (Candidate(f"picture {number}", image) for number, image in enumerate(each, 1))


def _coloured(batch: Tensor) -> Tensor:
    check(batch)
    return batch.repeat(1, 1, 1, 3) if batch.shape[-1] == 1 else batch     # what saves or joins pictures wants three


def _lying(found) -> list[Candidate]:
    if found is None:
        return []
    picture_folder.require_pictures(found)
    return [Candidate(found.name(path), None, path) for path in found.pictures]


def _in_table(table: str, where: str, reference, rubric) -> tuple[list[Candidate], list[str]]:
    """The pictures of a table that are asked for, with the measures that decide, and a sentence about them."""
    if parse_choice(where).weights:
        raise ValueError("where: expected comparisons alone, got weights; here the rubric says what weighs what")
    if not (found := selected(table, where, folder_paths.get_output_directory)):
        return [], []
    held, chosen = found
    columns, asked = columns_for(held, needed(reference, rubric), SPOKEN_OF), set(chosen.names)
    check_measured(reference, rubric, columns)
    there, packed, gone = [], [], []
    for name, measures in zip(held.names, held.rows(columns), strict=True):
        if name in asked and held.is_packed(name):
            packed.append(name)
        elif name in asked and _is_gone(path := held.path(name)):
            gone.append(name)
        elif name in asked:
            there.append(Candidate(name, None, path, measures))
    if not there and packed:
        held.path(packed[0])    # says why
    if not there:
        raise ValueError(f"table: expected pictures that are still there, got {len(gone)} that are gone, such as "
                         f"{picture_folder.quoted(gone[0])}")
    return there, [chosen.note, *_not_ranked("No longer there", gone),
                   *_not_ranked("No files of their own, as they lie in a tar file", packed)]


def _is_gone(path) -> bool:
    """Not where nobody may look: who opens the file then says why it cannot be."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        pass
    return False


def _not_ranked(why: str, names: list[str]) -> list[str]:
    return [f"{why}, and not ranked: {picture_folder.shown(names)}."] if names else []


def _critique(candidate: Candidate, reference, rubric):
    if candidate.measures is None:
        return judge_picture(candidate.load(), reference, rubric)
    return judge(candidate.measures, reference, rubric)


def _judged(candidates, reference, rubric) -> tuple[list, list[str]]:
    """Each candidate with its critique, and a sentence for each file that could not be read or measured."""
    progress, ranked, broken = comfy.utils.ProgressBar(len(candidates)), [], []
    for candidate in candidates:
        try:
            ranked.append((candidate, _critique(candidate, reference, rubric)))
        except ValueError as error:
            if candidate.path is None:
                raise
            broken.append(f"{candidate.name}: {error}")
        progress.update(1)
    if not ranked:
        raise ValueError(f"folder: expected at least one picture that can be measured, got {'; '.join(broken[:3])}")
    return ranked, broken


def _left_out(broken: list[str], found) -> list[str]:
    notes = picture_folder.why_left_out(found, [path for path in found.others if path.suffix.lower()
                                                not in picture_folder.CAPTIONS]) if found else []
    return [*(["Could not be measured and are not ranked:\n\n" + "\n".join(f"* {each}" for each in broken)]
              if broken else []), *notes]
