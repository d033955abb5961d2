"""One picture on its way to the VAE: opened, cropped, looked at, encoded; and the same as it is kept on disk."""
from typing import NamedTuple

import comfy.model_management
import torch

from ...charts.chart_types.contact_sheet import thumbnail
from ...shared.picture_file import TRANSPARENT, Remark
from .audit.findings import Look, look, look_from, look_kept
from .buckets import Crop, Size, crop
from .dataset import latent_identity
from .disk_cache import Tensors
from .sources import Source

OTHER_SHAPE = 0.02          # of width by height, beyond what rounding makes
LOST = 0.2                  # of a picture's area, outside of the crop
CUT_AWAY = f"More than {LOST:.0%} cut away at the edges"
OVERLAPPING = "Shorter than their clips together, so that these share frames"
LATENT, REFERENCE, BEFORE, START, MASK = "latent", "reference", "before", "start", "mask"
GREY = 0.5                  # of the frames that a start picture says nothing of
THUMBNAIL, THUMBNAIL_MASK, MIRRORED = "thumbnail", "thumbnail_mask", "_mirrored"


class Encoded(NamedTuple):
    """What became of one picture. size: its own; cropped: in training; look: of the audit, None where there is none.
    latents: (shape, identity) of the latent and, where there is one, of that of its mirror image."""
    size: Size
    cropped: Size
    scale: float
    is_masked: bool
    remarks: tuple[Remark, ...]
    look: Look | None
    latents: tuple[tuple[tuple[int, ...], str], ...] = ()
    frames: int = 1

    def as_kept(self) -> dict:
        """As JSON."""
        return {**self._asdict(), "look": self.look and look_kept(self.look)}

    @classmethod
    def from_kept(cls, kept: dict) -> "Encoded":
        return cls(Size(*kept["size"]), Size(*kept["cropped"]), kept["scale"], kept["is_masked"],
                   tuple(Remark(*remark) for remark in kept["remarks"]), kept["look"] and look_from(kept["look"]),
                   tuple((tuple(shape), identity) for shape, identity in kept["latents"]), kept["frames"])


class Opened(NamedTuple):
    """A picture before the VAE. beside: pixels [1, H, W, 3] of REFERENCE and BEFORE, where there are such."""
    encoded: Encoded
    crop: Crop
    beside: dict[str, torch.Tensor]


def open_picture(source: Source, sizes: list[Size], masks: str, audit: bool) -> Opened:
    """Raises ValueError for what cannot be read or does not fit together."""
    encoded, made = opened(source, sizes, masks, audit)
    return Opened(encoded, made, _beside(source, made))


def encode_picture(source: Source, picture: Opened, flip: bool, vae, starts: bool = False) -> tuple[Encoded, Tensors]:
    """Tensors: LATENT [1, C, ...] fp32, where there are such REFERENCE and BEFORE, with `starts` START of a video, that
    of its first frame before grey ones, with `flip` those of the mirror images too, MASK [1, 1, H, W] of 0 to 255, and
    the thumbnails [h, w, 3] and [h, w] of 0 to 255.

    Raises ValueError for a latent that is no number."""
    encoded, made, beside = picture
    pixels = {LATENT: made.pixels, **beside}
    if starts and encoded.frames > 1:
        pixels[START] = torch.cat([made.pixels[:1], torch.full_like(made.pixels[1:], GREY)])
    tensors = {name + ending: _latent(vae, each.flip(2) if ending else each, source.name)
               for name, each in pixels.items() for ending in ("", MIRRORED)[:1 + flip]}
    before = pixels.get(BEFORE)
    gap = made.pixels.new_ones(1, encoded.cropped.height, encoded.cropped.width // 16, 3)
    shown = [made.pixels] if before is None else [before, gap, made.pixels]
    if encoded.frames > 1:
        shown = [made.pixels[[0]], gap, made.pixels[[encoded.frames // 2]], gap, made.pixels[[-1]]]
    tensors[THUMBNAIL] = _bytes(thumbnail(torch.cat(shown, 2)))
    if made.mask is not None:
        tensors |= {MASK: _bytes(made.mask), THUMBNAIL_MASK: _bytes(thumbnail(made.mask.movedim(1, -1))[..., 0])}
    latents = tuple((tuple(tensors[LATENT + ending].shape),
                     latent_identity(tensors[LATENT + ending], tensors.get(BEFORE + ending)))
                    for ending in ("", MIRRORED)[:1 + flip])
    return encoded._replace(latents=latents), tensors


def opened(source: Source, sizes: list[Size], masks: str, audit: bool) -> tuple[Encoded, Crop]:
    """The picture, or the clip of a video, as it will be learnt. Raises ValueError for what cannot be read."""
    if source.clip:
        return _opened_clip(source, sizes)
    image, remarks = source.open()
    mask = source.mask() if source.mask else None
    if masks == "alpha":
        mask = image.getchannel("A") if image.mode == "RGBA" else None
        mask = None if mask is None or mask.getextrema() == (255, 255) else mask
        remarks = tuple(remark for remark in remarks if remark.what != TRANSPARENT)
    made = crop(image, mask, sizes, source.name)
    if made.lost > LOST:
        remarks += (Remark(CUT_AWAY, f"{made.lost:.0%}", made.lost),)
    size = Size(*made.pixels.shape[2:0:-1])
    return Encoded(made.size, size, made.scale, mask is not None, remarks,
                   look(image, size, made.scale) if audit else None), made


def _opened_clip(source: Source, sizes: list[Size]) -> tuple[Encoded, Crop]:
    """Pixels [T, H, W, 3] of all frames; a clip is not looked at by the audit, whose marks are of photographs."""
    clip, crops, mask = source.clip(), [], source.mask() if source.mask else None
    try:
        for image in clip.frames:
            comfy.model_management.throw_exception_if_processing_interrupted()
            crops.append(crop(image, None if crops else mask, sizes, source.name))
            if crops[-1].size != crops[0].size:
                raise ValueError("its frames have {} x {} pixels and {} x {}".format(*crops[0].size, *crops[-1].size))
    except ValueError as error:
        if str(error).startswith("masks:"):
            raise
        raise ValueError(f"folder: {source.name} cannot be learnt as a video ({error}).") from None
    made = crops[0]._replace(pixels=torch.cat([each.pixels for each in crops]))
    remarks = (Remark(OVERLAPPING),) if clip.overlaps else ()
    if made.lost > LOST:
        remarks += (Remark(CUT_AWAY, f"{made.lost:.0%}", made.lost),)
    size = Size(*made.pixels.shape[2:0:-1])
    return Encoded(made.size, size, made.scale, mask is not None, remarks, None, frames=len(crops)), made


def _beside(source: Source, cropped: Crop) -> dict[str, torch.Tensor]:
    """Pixels [1, H, W, 3] of REFERENCE and BEFORE, where there are such, in the picture's size."""
    size, found = Size(*cropped.pixels.shape[2:0:-1]), {}
    if source.reference:
        found[REFERENCE] = crop(source.reference().image, None, [size], source.name).pixels
    if source.before:
        before = source.before().image
        if abs(before.width * cropped.size.height / (before.height * cropped.size.width) - 1) > OTHER_SHAPE:
            raise ValueError("before: expected both pictures of a pair in one shape, {} has {} x {} pixels, the other "
                             "{} x {}.".format(source.name, *cropped.size, *before.size))
        found[BEFORE] = crop(before, None, [size], source.name).pixels
    return found


def _latent(vae, pixels: torch.Tensor, name: str) -> torch.Tensor:
    latent = vae.encode(pixels).float().cpu()
    if not latent.isfinite().all():
        raise ValueError(f"vae: expected a latent of finite numbers, {name} became others (a VAE that overflowed?).")
    return latent


def _bytes(values: torch.Tensor) -> torch.Tensor:
    return (values * 255).round().clamp(0, 255).to(torch.uint8)
