"""Which pictures with which captions: the inputs of the Training Set node, settled before anything is encoded."""
from collections.abc import Callable, Sequence

import torch

from . import captions as words
from .collect import Collected, Preparation, Source, collect, from_folder, from_tensors
from .folder import locate, scan, unused


def assemble(vae, clip, folder: str, images: list[torch.Tensor], captions: list[str], masks: list[torch.Tensor],
             default_caption: str, regularisation_folder: str, plan: Preparation,
             progress: Callable[[int, int], None], before: Sequence[torch.Tensor] = ()) -> Collected:
    """images and before [1, H, W, C] and masks [1, H, W] from the graph, or a folder. progress: told (pictures done, of
    all).

    Raises ValueError with one sentence when neither or both are given, or when their numbers do not match."""
    if bool(folder.strip()) == bool(images):
        raise ValueError("folder: expected either a folder or images from the graph, got "
                         + ("both." if images else "neither."))
    notes = []
    if images:
        sources = _from_graph(images, captions, masks, default_caption, before)
    else:
        if before:
            raise ValueError("before: expected only with images from the graph; a folder has such pictures in files "
                             "such as 01_before.png.")
        sources, notes = _from_folder(folder, captions, masks, default_caption, plan)
    if regularisation_folder.strip():
        others, more = _regularisation(regularisation_folder, default_caption, plan)
        sources, notes = sources + others, notes + more
    done = iter(range(1, len(sources) + 1))
    return collect(sources, vae, clip, plan, lambda: progress(next(done), len(sources)), notes)


def _from_graph(images, captions, masks, default_caption, before) -> list[Source]:
    if before and len(before) != len(images):
        raise ValueError(f"before: expected {len(images)} pictures, one for each of images; got {len(before)}.")
    if masks and len(masks) not in (1, len(images)):
        raise ValueError(f"mask: expected 1 mask or {len(images)}, one a picture; got {len(masks)}.")
    if not captions and not default_caption.strip():
        raise ValueError("captions: expected one for each picture, or a default_caption for all, got neither.")
    texts = words.spread(captions or [default_caption], len(images))
    return from_tensors(images, masks * len(images) if len(masks) == 1 else masks, texts, before)


def _from_folder(folder, captions, masks, default_caption, plan) -> tuple[list[Source], list[str]]:
    """(sources, what a person should know of the folder)"""
    if masks:
        raise ValueError("mask: expected only with images from the graph; a folder has its masks in files such as "
                         "01_mask.png.")
    place = locate(folder)
    found = scan(place)
    texts = words.spread(captions, len(found)) if captions else words.fill_in(
        [picture.caption for picture in found], [picture.name for picture in found], default_caption)
    return from_folder(found, texts, plan), unused(place, found, plan.masks == "files")


def _regularisation(folder, default_caption, plan) -> tuple[list[Source], list[str]]:
    try:
        place = locate(folder)
        found = scan(place)
        texts = words.fill_in([p.caption for p in found], [p.name for p in found], default_caption)
    except ValueError as error:
        raise ValueError(f"regularisation_{error}") from None
    notes = [f"Regularisation: {note}" for note in unused(place, found, plan.masks == "files")]
    return from_folder(found, texts, plan, is_regularisation=True), notes
