"""Which pictures with which captions: the inputs of the Training Set node, settled before anything is encoded."""
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import comfy.model_management
import folder_paths
import torch
from PIL import Image

from ...shared.picture_choice import Chosen, selected
from ...shared.picture_file import PictureFile, read_mask, read_picture
from ...shared.picture_folder import VIDEOS, list_folder, locate
from ...shared.picture_table import PictureTable
from ...shared.video_file import Animation, FrameFolder, Video, VideoFile
from . import captions as words
from .clips import Clip, ClipPlan, clip_of
from .disk_cache import digest
from .training_folder import Found, scan, unused

MASKS = ("none", "files", "alpha")
WHITEST = 2.0       # above 1 by rounding and sharpening, and not because pictures of 0..255 came


class Source(NamedTuple):
    """A picture that has not been opened yet, and what belongs to it. content: given what hashes a file, the hash of
    all that lies in its files or tensors. clip: of a video, whose first frame `open` gives. files: of a picture of a
    folder, which are all that it is made of: itself, mask, reference and before. video: the name of that which a clip
    is of, "" of a picture."""
    name: str
    open: Callable[[], PictureFile]
    caption: str
    content: Callable[[Callable[[Path], str]], str]
    mask: Callable[[], Image.Image] | None = None
    reference: Callable[[], PictureFile] | None = None
    repeats: int = 1
    is_regularisation: bool = False
    before: Callable[[], PictureFile] | None = None
    clip: Callable[[], Clip] | None = None
    files: tuple[Path | None, ...] = ()
    video: str = ""

    def as_row(self) -> list:
        """As JSON, of one with files."""
        return [self.name, self.caption, self.repeats, self.is_regularisation,
                [path and str(path) for path in self.files]]

    @classmethod
    def from_row(cls, row: list) -> "Source":
        """What as_row made."""
        return _of_files(*row[:4], tuple(path and Path(path) for path in row[4]))


def settled(folder: str, images: list[torch.Tensor], captions: list[str], masks: list[torch.Tensor],
            before: Sequence[torch.Tensor], default_caption: str, regularisation_folder: str, masks_of: str,
            table: str = "", where: str = "", clips: ClipPlan | None = None) -> tuple[list[Source], list[str]]:
    """(sources, what a person should know of the folders). images and before [1, H, W, C] and masks [1, H, W] from the
    graph, or a folder, of which a table of Critique Gallery may choose; masks_of: of MASKS; clips: of the videos of a
    folder, None to leave them alone.

    Raises ValueError with one sentence when neither or both are given, or when their numbers do not match."""
    chosen = selected(table, where, folder_paths.get_output_directory)
    if chosen and images:
        raise ValueError("table: expected only with a folder, or alone; got it with images from the graph.")
    folder = folder if folder.strip() or not chosen else str(chosen[0].path(""))
    if bool(folder.strip()) == bool(images):
        raise ValueError("folder: expected either a folder or images from the graph, got "
                         + ("both." if images else "neither."))
    if images:
        sources, notes = from_graph(images, captions, masks, default_caption, before), []
    else:
        _refuse_beside_a_folder(masks, before)
        sources, notes = from_folder(folder, captions, default_caption, masks_of, chosen=chosen, clips=clips)
    if regularisation_folder.strip():
        others, more = regularisation(regularisation_folder, default_caption, masks_of, clips)
        sources, notes = sources + others, notes + more
    return sources, notes


def _refuse_beside_a_folder(masks, before) -> None:
    if before:
        raise ValueError("before: expected only with images from the graph; a folder has such pictures in files "
                         "such as 01_before.png.")
    if masks:
        raise ValueError("mask: expected only with images from the graph; a folder has its masks in files such as "
                         "01_mask.png.")


def from_graph(images: list[torch.Tensor], captions: list[str], masks: list[torch.Tensor], default_caption: str,
               before: Sequence[torch.Tensor]) -> list[Source]:
    """Sources for IMAGEs [1, H, W, C]; before [1, H, W, C], one an image, and masks [1, H, W], one an image or one for
    all, or none. Raises ValueError with one sentence for other numbers of them, and for what is no IMAGE."""
    for name, tensors in (("images", images), ("before", before)):
        for number, tensor in enumerate(tensors, 1):
            _check_image(tensor, f"{name}: picture {number}")
    for number, mask in enumerate(masks, 1):
        _check_values(mask, f"mask: mask {number}")
    if before and len(before) != len(images):
        raise ValueError(f"before: expected {len(images)} pictures, one for each of images; got {len(before)}.")
    if masks and len(masks) not in (1, len(images)):
        raise ValueError(f"mask: expected 1 mask or {len(images)}, one a picture; got {len(masks)}.")
    if not captions and not default_caption.strip():
        raise ValueError("captions: expected one for each picture, or a default_caption for all, got neither.")
    texts = words.spread(captions or [default_caption], len(images))
    masks = masks * len(images) if len(masks) == 1 else masks
    return [Source(f"image {i + 1}", partial(_from_tensor, image), texts[i],
                   partial(_tensors_content, [image, *masks[i:i + 1], *before[i:i + 1]]),
                   partial(_from_mask, masks[i]) if masks else None,
                   before=partial(_from_tensor, before[i]) if before else None)
            for i, image in enumerate(images)]


def from_folder(folder: str, captions: list[str], default_caption: str, masks: str, is_regularisation: bool = False,
                chosen: tuple[PictureTable, Chosen] | None = None, clips: ClipPlan | None = None
                ) -> tuple[list[Source], list[str]]:
    """(sources, what a person should know of the folder). captions: take the place of the files; masks: of MASKS.
    chosen: a table and the pictures of it that are learnt."""
    listing = list_folder(locate(folder))
    found = scan(listing, comfy.model_management.throw_exception_if_processing_interrupted, clips is not None)
    notes = unused(listing, found, masks == "files")
    if clips and not any(picture.is_video for picture in found):
        notes.append("frames is set, and the folder has no videos: its pictures are learnt as such.")
    if chosen:
        found = _taken(found, *chosen)
        notes.append(f"{chosen[1].note} {len(found)} of them lie in the folder and are learnt.")
    texts = words.spread(captions, len(found)) if captions else words.fill_in(
        [picture.caption for picture in found], [picture.name for picture in found], default_caption)
    sources = [source for picture, caption in zip(found, texts, strict=True)
               for source in (_of_video(picture, caption, masks, is_regularisation, clips) if picture.is_video else
                              [_source(picture, caption, masks, is_regularisation)])]
    return sources, notes


def _taken(found: list[Found], table: PictureTable, chosen: Chosen) -> list[Found]:
    """Those pictures of a folder that a table's choice takes; by their files, as the folder may be a part of it."""
    asked = {os.path.realpath(table.path(name)) for name in chosen.names if not table.is_packed(name)}
    taken = [picture for picture in found if os.path.realpath(picture.path) in asked]
    if not taken:
        raise ValueError(f"table: expected pictures of the folder, got {len(asked)} that lie elsewhere")
    return taken


def regularisation(folder: str, default_caption: str, masks: str, clips: ClipPlan | None = None
                   ) -> tuple[list[Source], list[str]]:
    """The same for the pictures of the general class."""
    try:
        sources, notes = from_folder(folder, [], default_caption, masks, is_regularisation=True, clips=clips)
    except ValueError as error:
        # Of captions the files of the folder are meant, which have no input of their own here.
        raise ValueError(re.sub("^(folder|captions):", "regularisation_folder:", str(error))) from None
    # Another folder may have a picture of that name, and messages are to tell the two apart.
    named = [source._replace(name=f"{source.name} (regularisation)") for source in sources]
    return named, [f"Regularisation: {note}" for note in notes]


def _source(picture: Found, caption: str, masks: str, is_regularisation: bool) -> Source:
    return _of_files(picture.name, caption, picture.repeats, is_regularisation, (
        picture.path, picture.mask if masks == "files" else None, picture.reference, picture.before))


def _of_files(name: str, caption: str, repeats: int, is_regularisation: bool, files: tuple[Path | None, ...]) -> Source:
    picture, mask, reference, before = files
    return Source(name, partial(_opened, read_picture, picture), caption, partial(_files_content, files),
                  mask and partial(_opened, read_mask, mask), reference and partial(_opened, read_picture, reference),
                  repeats, is_regularisation, before and partial(_opened, read_picture, before), files=files)


def _of_video(found: Found, caption: str, masks: str, is_regularisation: bool, plan: ClipPlan) -> list[Source]:
    """A source for each of its clips."""
    mask = found.mask if masks == "files" else None
    video = (FrameFolder(found.name, found.frames, plan.fps) if found.frames else
             VideoFile(found.path) if found.path.suffix.lower() in VIDEOS else Animation(found.path))
    files = (*(video.paths if found.frames else [found.path]), mask, found.reference)     # in the order of the frames
    return [Source(
        found.name + (f" (clip {number + 1})" if plan.clips > 1 else ""), partial(_first_frame, video, plan, number),
        caption, partial(_clip_content, files, f"{plan} {number}"), mask and partial(_opened, read_mask, mask),
        found.reference and partial(_opened, read_picture, found.reference), found.repeats, is_regularisation,
        clip=partial(_clip, video, plan, number), video=found.name) for number in range(plan.clips)]


def _clip(video: Video, plan: ClipPlan, number: int) -> Clip:
    try:
        return clip_of(video, plan, number)
    except ValueError as error:
        raise ValueError(f"folder: {video.name} cannot be learnt as a video ({error}).") from None


def _first_frame(video: Video, plan: ClipPlan, number: int) -> PictureFile:
    return PictureFile(next(iter(_clip(video, plan, number).frames)))


def _clip_content(paths: tuple[Path | None, ...], clip: str, hashed: Callable[[Path], str]) -> str:
    return f"{_files_content(paths, hashed)} {clip}"


def _files_content(paths: tuple[Path | None, ...], hashed: Callable[[Path], str]) -> str:
    try:
        return " ".join(hashed(path) if path else "-" for path in paths)
    except OSError as error:
        raise ValueError(f"folder: {paths[0].name} cannot be read as a picture ({error.strerror}).") from None


def _tensors_content(tensors: list[torch.Tensor], _) -> str:
    return digest(*(part for tensor in tensors
                    for part in (str(tuple(tensor.shape)), tensor.float().cpu().contiguous().numpy().tobytes())))


def _opened(read: Callable, path: Path):
    try:
        return read(path)
    except ValueError as error:
        raise ValueError(f"folder: {path.name} cannot be read as a picture ({error}).") from None


def _check_image(image: torch.Tensor, name: str) -> None:
    shape = tuple(image.shape)
    if image.ndim != 4 or shape[-1] not in (1, 3, 4) or not image.is_floating_point():
        raise ValueError(f"{name}: expected an IMAGE of floating point, [B, H, W, 1, 3 or 4], got {list(shape)} of "
                         f"{str(image.dtype).removeprefix('torch.')}.")
    _check_values(image, name)


def _check_values(tensor: torch.Tensor, name: str) -> None:
    if not tensor.numel():
        raise ValueError(f"{name}: expected one of at least 1 x 1 pixels, got an empty batch, {list(tensor.shape)}.")
    low, high = map(float, tensor.float().aminmax())
    if not (-WHITEST < low and high < WHITEST):     # true of what is no number as well
        raise ValueError(f"{name}: expected values from 0 to 1, got {low:g} to {high:g}.")


def _from_tensor(image: torch.Tensor) -> PictureFile:
    """IMAGE [1, H, W, C], 0..1 -> a picture."""
    pixels = (image.reshape(image.shape[-3:]).clamp(0, 1) * 255).round().byte().cpu().numpy()
    return PictureFile(Image.fromarray(pixels.repeat(3, -1) if pixels.shape[-1] == 1 else pixels))


def _from_mask(mask: torch.Tensor) -> Image.Image:
    return _from_tensor(mask.float().reshape(*mask.shape[-2:], 1)).image.convert("L")
