"""Edits of a picture: those that leave it as it is, and those that spoil it. uint8 RGB arrays [h, w, 3] both ways."""
import io

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter


def resized(share):
    return lambda pixels: _image(pixels, lambda image: image.resize(
        (round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS))


def cropped(share):
    def edit(pixels):
        height, width = (round(side * share / 2) for side in pixels.shape[:2])
        return pixels[height:pixels.shape[0] - height, width:pixels.shape[1] - width]
    return edit


def jpeg(quality):
    def edit(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file).convert("RGB"))
    return edit


def levels(function):
    """An edit of the levels 0..1."""
    return lambda pixels: _bytes(function(pixels / 255))


def saturated(amount):
    return lambda pixels: _image(pixels, lambda image: ImageEnhance.Color(image).enhance(amount))


def blurred(share):
    """share: the radius as a share of the longer side."""
    return lambda pixels: _image(pixels, lambda image: image.filter(
        ImageFilter.GaussianBlur(share * max(image.size))))


def haloed(pixels):
    return _image(pixels, lambda image: image.filter(ImageFilter.UnsharpMask(max(image.size) / 200, 250, 0)))


def noisy(pixels):
    return _bytes(pixels / 255 + np.random.default_rng(0).normal(0, 0.1, pixels.shape))


def hue_turned(degrees):
    def edit(pixels):
        hsv = np.asarray(Image.fromarray(pixels).convert("HSV")).copy()
        hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees / 360 * 256)) % 256
        return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
    return edit


NEUTRAL = {"75 %": resized(0.75), "50 %": resized(0.5), "cropped by 4 %": cropped(0.04),
           "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]), "JPEG 95": jpeg(95), "JPEG 85": jpeg(85)}
DAMAGE = {"noise": noisy, "blur": blurred(0.004), "JPEG 10": jpeg(10),
          "posterised": levels(lambda x: np.round(x * 3) / 3),
          "green cast": levels(lambda x: x * np.array([0.8, 1.1, 0.8])),
          "oversaturated": saturated(2.5), "crushed": levels(lambda x: (x - 0.3) * 1.4),
          "washed out": levels(lambda x: 0.4 + 0.5 * x), "hue turned by 120": hue_turned(120),
          "clipped": levels(lambda x: x * 1.8), "dark": levels(lambda x: x * 0.4), "halo": haloed}
TONE = set(DAMAGE) - {"noise", "blur", "JPEG 10", "halo"}


def _image(pixels, function):
    return np.asarray(function(Image.fromarray(pixels)))


def _bytes(values):
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def landscape(height=192, width=256):
    """A hill under a sky, drawn: its light and colour are those of photographs that nothing is held against."""
    rough, patches = (_clouds(height, width, seed) for seed in (1, 2))
    down = np.linspace(0, 1, height)[:, None]
    hill = (down + 0.05 * rough > 0.45)[..., None]
    sky = np.array([0.52, 0.58, 0.66]) + 0.05 * rough[..., None]
    grey = np.clip(0.5 + 0.35 * patches[..., None], 0, 1)
    ground = (np.array([0.36, 0.35, 0.12]) * (1 - grey) + 0.33 * grey) * (1 + 0.5 * rough[..., None])
    return _bytes(np.where(hill, ground, sky))


def _clouds(height, width, seed):
    """Noise of many sizes, mean 0, standard deviation 1."""
    octaves = [np.random.default_rng(seed * side).random((side * 3 // 4, side)) for side in (8, 16, 32, 64, 128)]
    smooth = [Image.fromarray(each.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
              for each in octaves]
    rough = sum(np.asarray(each) / number for number, each in enumerate(smooth, 1))
    return (rough - rough.mean()) / rough.std()
