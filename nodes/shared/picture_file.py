"""A picture file as pixels: upright, in sRGB, in 8 bits, whatever it was saved as."""
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from .picture_folder import shown
from .text_syntax import printable

SIXTEEN_BITS = 65535
TOPS = (1, 255, SIXTEEN_BITS)   # the highest values that files of 32 bits are known to use
ONE_PICTURE = ("MPO", "ICO", "ICNS", "PSD")   # further frames are previews, other sizes or layers
DARK = 1 / 16                   # of the range: brighter than nothing, but hardly to be seen
TRANSPARENT = "Colours under transparent parts are seen as well"
ROUNDING = 2                    # of 255: a profile that changes no colour by more is sRGB by another name


class Remark(NamedTuple):
    """What a person should know of a picture: a sentence about all of its kind, and what is particular in this one.
    size: the greater, the earlier it is named."""
    what: str
    detail: str = ""
    size: float = 0.0


class PictureFile(NamedTuple):
    """image: RGB or RGBA, 8 bits, sRGB, upright, the first frame. remarks: what was done to it, what could not be."""
    image: Image.Image
    remarks: tuple[Remark, ...] = ()


def read_picture(path: Path) -> PictureFile:
    """A picture file, turned as its camera says, its colours brought to sRGB by its profile, more than 8 bits scaled.

    Raises ValueError, with a reason and without the file's name, for what cannot be read."""
    remarks = []
    image, kind, profile = _opened(path, remarks)
    image = _srgb(_eight_bits(image, kind, remarks), profile, remarks)
    if hidden := transparent_share(image):
        remarks.append(Remark(TRANSPARENT, f"{hidden:.0%}", hidden))
    return PictureFile(image, tuple(remarks))


def sentences(remarks: Sequence[tuple[str, Remark]]) -> list[str]:
    """A sentence for each kind of remark, with the names of the pictures that it is about, the worst first."""
    kinds = {}
    for name, remark in sorted(remarks, key=lambda pair: -pair[1].size):
        kinds.setdefault(remark.what, []).append(f"{name} ({remark.detail})" if remark.detail else name)
    return [f"{what}: {shown(names)}." for what, names in kinds.items()]


def read_mask(path: Path) -> Image.Image:
    """A mask file in 8 bits of grey, upright. Its values are no colours, so that no profile changes them.

    Raises ValueError as `read_picture` does."""
    image, kind, _ = _opened(path, [])
    return _eight_bits(image, kind, []).convert("L")


def check_picture(path: Path) -> None:
    """Raises ValueError as `read_picture` does, for what can be told without reading the pixels."""
    try:
        with Image.open(path):
            pass
    except Exception as error:                              # see _opened
        raise ValueError(_reason(error)) from None


def transparent_share(image: Image.Image) -> float:
    """The share of a picture, 0 to 1, that is less than half opaque."""
    if image.mode != "RGBA":
        return 0.0
    return float((np.asarray(image.getchannel("A")) < 128).mean())


def _opened(path: Path, remarks: list[Remark]) -> tuple[Image.Image, str, bytes | None]:
    """(picture, format, profile); more frames than one are remarked."""
    try:
        with Image.open(path) as image:
            frames = 1 if image.format in ONE_PICTURE else getattr(image, "n_frames", 1)
            if frames > 1:
                remarks.append(Remark("Only the first frame or page is used", f"of {frames}", frames))
            image.load()
            return _upright(image, remarks), image.format, image.info.get("icc_profile")
    except Exception as error:      # a damaged file makes Pillow's readers raise whatever it leads them to
        raise ValueError(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no picture that can be read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(str(error))[:200] or type(error).__name__


def _upright(image: Image.Image, remarks: list[Remark]) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:               # damaged EXIF, which Pillow reads in many ways
        remarks.append(Remark("Taken as they lie, because their EXIF data cannot be read"))
        return image.copy()


def _eight_bits(image: Image.Image, kind: str, remarks: list[Remark]) -> Image.Image:
    """Grey of 16 or 32 bits and floating point, scaled to 0..255; other modes as they are. kind: the file's format."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are no finite numbers")
    low, top = min(0.0, float(values.min())), float(values.max())
    if image.mode.startswith("I;16") or kind in ("PNG", "PPM"):     # older Pillows open both as 32 bits
        if top < DARK * SIXTEEN_BITS:
            remarks.append(Remark("Nearly black", f"nothing brighter than {top:g} of {SIXTEEN_BITS}"))
        top = SIXTEEN_BITS
    else:
        top = top if low < 0 else next((known for known in TOPS if top <= known), top)
        remarks.append(Remark("Brought to 8 bits from the range of their values", f"{low:g} to {top:g}"))
    return Image.fromarray(np.rint((values - low) * (255 / max(top - low, 1e-30))).astype(np.uint8))


def _srgb(image: Image.Image, profile: bytes | None, remarks: list[Remark]) -> Image.Image:
    """RGB, or RGBA where a picture has an alpha channel or a transparent colour."""
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    image = _converted(_without_alpha(image), profile, remarks).convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
    return image


def _without_alpha(image: Image.Image) -> Image.Image:
    """L, RGB, CMYK or LAB: what a colour profile can describe."""
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image
    if image.mode in ("La", "P"):           # not at once: premultiplied grey, and a palette with opacities
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def _converted(image: Image.Image, profile: bytes | None, remarks: list[Remark]) -> Image.Image:
    if not profile and image.mode != "LAB":
        return image
    try:
        transform, mode = _to_srgb(profile, image.mode)
        if transform is None:
            return image
        image = ImageCms.applyTransform(image.convert(mode), transform)
        remarks.append(Remark("Colours brought to sRGB from another colour space"))
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError):
        if image.mode == "LAB":
            raise ValueError("its colours are CIELAB, which cannot be brought to sRGB here") from None
        remarks.append(Remark("Colours taken for sRGB, because their colour profile cannot be used"))
    return image


@lru_cache(maxsize=8)
def _to_srgb(profile: bytes | None, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    """What turns colours of a profile into sRGB by the intent that the profile names (None for sRGB itself), and the
    mode that it takes: grey files often have a profile for colours."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile and mode != "LAB" else (
        ImageCms.createProfile("LAB"))
    if mode == "L" and source.profile.xcolor_space.strip() == "RGB":
        mode = "RGB"
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB",
                                        ImageCms.getDefaultIntent(source) if profile else ImageCms.Intent.PERCEPTUAL,
                                        ImageCms.Flags.BLACKPOINTCOMPENSATION)
    return (None if mode in ("L", "RGB") and _changes_nothing(transform, mode) else transform), mode


def _changes_nothing(transform, mode: str) -> bool:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    probe = Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, len(levels), 3)).convert(mode)
    moved = ImageCms.applyTransform(probe, transform)
    return int(np.abs(np.asarray(probe.convert("RGB"), np.int16) - np.asarray(moved, np.int16)).max()) <= ROUNDING
