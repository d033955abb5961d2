"""From pictures, captions and masks to a training set, one picture at a time."""
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from PIL import Image

from ...charts.sheet import thumbnail
from . import pictures
from .buckets import Size, bucket_sizes
from .captions import Encoder, variants
from .dataset import REFERENCE, Sample, TrainingSet
from .folder import Found
from .latents import Latents, pixel_step

OTHER_SHAPE = 0.02          # of width by height, beyond what rounding makes
MASKS = ("none", "files", "alpha")
UNREADABLE = ("stop", "skip")


class Source(NamedTuple):
    """A picture that has not been opened yet, and what belongs to it."""
    name: str
    open: Callable[[], Image.Image]
    caption: str
    mask: Callable[[], Image.Image] | None = None
    reference: Callable[[], Image.Image] | None = None
    repeats: int = 1
    is_regularisation: bool = False
    before: Callable[[], Image.Image] | None = None


class Preparation(NamedTuple):
    """resolution in pixels, of the side of a square with as many; the rest as on the node."""
    resolution: int = 1024
    buckets: bool = True
    repeats: int = 1
    flip: bool = False
    masks: str = "none"
    tag_shuffles: int = 0
    keep_first: int = 1
    caption_dropout: float = 0.0
    regularisation_weight: float = 1.0
    unreadable: str = "stop"
    cache: bool = False
    seed: int = 0


class Prepared(NamedTuple):
    """What became of one picture: for the report and the contact sheet. thumbnail [h, w, 3], of a pair both,
    mask [h, w] or None."""
    source: Source
    size: Size
    cut: Size
    scale: float
    thumbnail: torch.Tensor
    mask: torch.Tensor | None


class Collected(NamedTuple):
    dataset: TrainingSet
    prepared: list[Prepared]
    reused: int


def from_folder(found: list[Found], captions: list[str], plan: Preparation, is_regularisation: bool = False
                ) -> list[Source]:
    """Sources for the pictures of a folder, whose captions have been settled."""
    sources = []
    for picture, caption in zip(found, captions, strict=True):
        mask = picture.mask if plan.masks == "files" else None
        sources.append(Source(picture.name, _opener(picture.path), caption, mask and _opener(mask),
                              picture.reference and _opener(picture.reference), picture.repeats, is_regularisation,
                              picture.before and _opener(picture.before)))
    return sources


def from_tensors(images: list[torch.Tensor], masks: list[torch.Tensor], captions: list[str],
                 before: list[torch.Tensor]) -> list[Source]:
    """Sources for IMAGEs [1, H, W, C]; masks [1, H, W] and before [1, H, W, C], one an image, or none."""
    return [Source(f"image {i + 1}", _from_tensor(image), captions[i], _from_mask(masks[i]) if masks else None,
                   before=_from_tensor(before[i]) if before else None)
            for i, image in enumerate(images)]


def collect(sources: list[Source], vae, clip, plan: Preparation, progress: Callable[[], None],
            notes: Sequence[str] = ()) -> Collected:
    """Opens, cuts, encodes; `progress` is called after every picture, and may raise to stop. notes: for the report.

    Raises ValueError for a picture that cannot be read, unless the plan says to skip it, and when none is left."""
    sizes = bucket_sizes(plan.resolution, pixel_step(vae))
    sizes = sizes if plan.buckets else sizes[:1]
    encode, latents = Encoder(clip), Latents(vae, plan.cache)
    samples, prepared, notes = [], [], list(notes)
    for source in sources:
        try:
            cut = _cut(source, plan, sizes)
            beside = _beside(source, cut)
        except ValueError as error:
            if plan.unreadable != "skip":
                raise
            notes.append(f"Left out: {error}")
        else:
            samples += _samples(source, cut, beside, plan, encode, latents)
            prepared.append(_prepared(source, cut, beside.get("before")))
        progress()
    if not any(not sample.is_regularisation for sample in samples):
        raise ValueError("folder: expected at least one picture that can be read, got none. " + " ".join(notes[:3]))
    dataset = TrainingSet(samples, notes + _notes(prepared), encode(""), plan.caption_dropout)
    return Collected(dataset, prepared, latents.reused)


def _cut(source: Source, plan: Preparation, sizes) -> pictures.Cut:
    image = source.open()
    mask = source.mask() if source.mask else pictures.alpha_mask(image) if plan.masks == "alpha" else None
    return pictures.cut(image, mask, sizes, source.name)


def _beside(source: Source, cut: pictures.Cut) -> dict[str, torch.Tensor]:
    """Pixels [1, H, W, 3] of "reference" and "before", where there are such, in the picture's size."""
    size, found = Size(*cut.pixels.shape[2:0:-1]), {}
    if source.reference:
        found["reference"] = pictures.cut(source.reference(), None, [size], source.name).pixels
    if source.before:
        before = source.before()
        if abs(before.width * cut.size.height / (before.height * cut.size.width) - 1) > OTHER_SHAPE:
            raise ValueError("before: expected both pictures of a pair in one shape, {} has {} x {} pixels, the other "
                             "{} x {}.".format(source.name, *cut.size, *before.size))
        found["before"] = pictures.cut(before, None, [size], source.name).pixels
    return found


def _samples(source, cut, beside, plan: Preparation, encode: Encoder, latents: Latents) -> Iterator[Sample]:
    """The picture, and with `flip` its mirror image."""
    embedding, options = encode(source.caption)
    others = tuple(map(encode, variants(source.caption, plan.tag_shuffles, plan.keep_first, plan.seed)))
    for mirror in (False, True) if plan.flip else (False,):
        latent, *others_of = (latents(_mirrored(pixels, mirror, 2)) for pixels in (cut.pixels, *beside.values()))
        of = dict(zip(beside, others_of, strict=True))
        reference = {REFERENCE: [of["reference"]]} if "reference" in of else {}
        yield Sample(
            latent, embedding, {**options, **reference},
            mask=None if cut.mask is None else _mirrored(cut.mask, mirror, 3),
            weight=plan.regularisation_weight if source.is_regularisation else 1.0,
            is_regularisation=source.is_regularisation,
            variants=tuple((e, {**o, **reference}) for e, o in others),
            repeats=source.repeats * plan.repeats, name=source.name + (" (mirrored)" if mirror else ""),
            before=of.get("before"))


def _mirrored(tensor, mirror: bool, dim: int):
    return tensor.flip(dim) if mirror else tensor


def _prepared(source, cut, before) -> Prepared:
    height, width = cut.pixels.shape[1:3]
    mask = None if cut.mask is None else thumbnail(cut.mask.movedim(1, -1))[..., 0]
    seen = cut.pixels if before is None else torch.cat([before, torch.ones_like(before[:, :, :width // 16]),
                                                        cut.pixels], 2)
    return Prepared(source, cut.size, Size(width, height), cut.scale, thumbnail(seen), mask)


def _notes(prepared: list[Prepared]) -> list[str]:
    grown = sorted((p for p in prepared if p.scale > 1.0), key=lambda p: -p.scale)
    if not grown:
        return []
    most = grown[0]
    return [f"{len(grown)} of {len(prepared)} pictures are smaller than their size in training and were enlarged, "
            f"{most.source.name} most ({most.scale:.1f} times); a lower resolution keeps them sharp."]


def _opener(path):
    return lambda: pictures.open_picture(path)


def _from_tensor(image):
    return lambda: pictures.from_tensor(image)


def _from_mask(mask):
    return lambda: pictures.from_tensor(mask.reshape(*mask.shape[-2:], 1)).convert("L")
