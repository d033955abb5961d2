"""Smooth random fields and soft shapes on the canvas; lengths are in widths of the canvas, 0..1."""
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

SIZE = 256
Box = tuple[slice, slice]


@lru_cache(4)
def grid(size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixel centres, each [size, size] float32 in 0..1."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return tuple(np.meshgrid(line, line))


def smooth(rng: np.random.Generator, across: float, down: float, size: int = SIZE) -> np.ndarray:
    """[size, size] float32 noise of about `across` x `down` waves, mean 0, within about -1..1."""
    knots = rng.uniform(-1, 1, (int(np.ceil(down)) + 3, int(np.ceil(across)) + 3)).astype(np.float32)
    left, top = rng.uniform(0.5, 1.5, 2)
    return np.asarray(Image.fromarray(knots).resize((size, size), Image.Resampling.BICUBIC,
                                                    (left, top, left + across, top + down)))


def clouds(rng: np.random.Generator, across: float, down: float, octaves: int = 4, fall: float = 0.5) -> np.ndarray:
    """[256, 256] sum of `octaves` fields, each twice as fine and `fall` as strong as the one before."""
    total, weight = np.zeros((SIZE, SIZE), np.float32), 1.0
    for octave in range(octaves):
        total += weight * smooth(rng, across * 2 ** octave, down * 2 ** octave)
        weight *= fall
    return total


def line(rng: np.random.Generator, waves: float, octaves: int = 4, fall: float = 0.5) -> np.ndarray:
    """[256] a rough line about 0, within about -1..1."""
    at = np.linspace(0, 1, SIZE)
    total = np.zeros(SIZE)
    for octave in range(octaves):
        knots = rng.uniform(-1, 1, int(waves * 2 ** octave) + 4)
        place = at * waves * 2 ** octave + rng.uniform(0, 1)
        left = place.astype(int)
        share = place - left
        share = share * share * (3 - 2 * share)
        total += fall ** octave * (knots[left] * (1 - share) + knots[left + 1] * share)
    return total.astype(np.float32)


def step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first, second, share) -> np.ndarray:
    """Between two colours or pictures; `share` [H, W] or a number of the second."""
    share = np.asarray(share, np.float32)
    share = share[..., None] if share.ndim == 2 else share
    return first + (second - first) * share


def box(left: float, top: float, right: float, bottom: float, size: int = SIZE) -> Box:
    """The pixels of a rectangle, cut at the canvas; may be empty."""
    cut = lambda value: int(np.clip(np.floor(value * size), 0, size))
    return slice(cut(top), cut(bottom + 1 / size)), slice(cut(left), cut(right + 1 / size))


def polygon(points, soft: int = 3) -> tuple[Box, np.ndarray]:
    """A filled polygon as (pixels, cover 0..1 of them); `points` are (x, y)."""
    xs, ys = zip(*points, strict=True)
    rows, columns = where = box(min(xs), min(ys), max(xs), max(ys))
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if height <= 0 or width <= 0:
        return where, np.zeros((max(height, 0), max(width, 0)), np.float32)
    sheet = Image.new("L", (width * soft, height * soft))
    ImageDraw.Draw(sheet).polygon([((x * SIZE - columns.start) * soft, (y * SIZE - rows.start) * soft)
                                   for x, y in points], fill=255)
    return where, np.asarray(sheet.reduce(soft), np.float32) / 255
