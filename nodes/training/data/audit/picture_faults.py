"""Faults of one picture, told from its pixels: no detail at its size, pixels that are repeated, marks of JPEG."""
from typing import NamedTuple

import numpy as np
from PIL import Image

TILE, DETAILED = 32, 3          # pixels of a tile's side; the third of the tiles with most contrast is looked at
APART = 3                       # rings of the spectrum, an eighth of the highest frequency each
ROUNDING = 1 / 12               # variance that rounding to whole grey levels leaves
BLOCK, MOST = 8, 512            # of JPEG; pixels of a side that are looked at for its marks
STEPS = np.arange(6, 90)
PERIODIC, FEWEST = 0.5, 12      # of a cosine's mean over at least so many coefficients
LOW_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
USUAL_STEP = 12                 # the middle of these in the standard's table, at quality 50


class Marks(NamedTuple):
    """spectral_fall: natural logarithm of how far the energy falls over three eighths of the spectrum; repeated: share
    of columns and rows that are the same as the one before; jpeg_quality: 1 to 100, or 100 where there are no marks."""
    spectral_fall: float
    repeated: float
    jpeg_quality: float


def marks(image: Image.Image, shown: Image.Image) -> Marks:
    """image: as it was saved, for what saving leaves; shown: as it will be learnt, for what is to be seen there."""
    grey = np.asarray(image.convert("L"), np.float32)
    return Marks(spectral_fall(np.asarray(shown.convert("L"), np.float32)), repeated(grey), jpeg_quality(grey))


def spectral_fall(grey: np.ndarray) -> float:
    """How far the energy of the spectrum falls from one frequency to one three eighths of the highest above it:
    2 to 5 in sharp pictures, whose energy falls with a power of the frequency (Field 1987), more where a blur or an
    enlargement has taken the high ones. grey: [H, W], 0..255. 0 for less than a tile."""
    tiles = _tiles(grey, TILE)
    if not len(tiles):
        return 0.0
    window = np.hanning(TILE + 2)[1:-1]
    window = np.outer(window, window).astype(np.float32)
    power = np.abs(np.fft.fft2((tiles - tiles.mean((1, 2), keepdims=True)) * window)) ** 2
    total = power.sum((1, 2))
    mean = power[np.argsort(-total)[:max(1, len(total) // DETAILED)]].mean(0)
    floor = float((window ** 2).sum()) * ROUNDING
    along = np.abs(np.fft.fftfreq(TILE)) * TILE
    far = np.maximum(along[:, None], along[None])           # in squares, as resampling cuts them
    rings = [(far >= first) & (far <= first + 2) for first in range(2, TILE // 2 - 1, 2)]
    energy = [np.log(max(mean[ring].mean() - floor, 0) + floor / 2) for ring in rings]
    return float(max(energy[i] - energy[i + APART] for i in range(len(rings) - APART)))


def repeated(grey: np.ndarray) -> float:
    """The share of columns, or of rows if that is less, that repeat the one before: an enlargement by repetition.
    Those of one value, as margins have, do not count."""
    return min(_repeated_columns(grey), _repeated_columns(grey.T))


def jpeg_quality(grey: np.ndarray) -> float:
    """The quality of the JPEG that the pixels once were, told from the steps that the coefficients of 8 x 8 blocks keep
    to (after Fan and de Queiroz 2003); 100 where there are none, as after any change of size."""
    grey = grey[:MOST, :MOST]
    tiles = _tiles(grey[_grid(grey.T):, _grid(grey):], BLOCK)
    if not len(tiles):
        return 100.0
    coefficients = COSINES @ (tiles - 128) @ COSINES.T
    steps = [step for place in LOW_FREQUENCIES if (step := _step(coefficients[:, place[0], place[1]]))]
    if len(steps) < 2:
        return 100.0
    scale = float(np.median(steps)) / USUAL_STEP
    return 50 / scale if scale > 1 else 100 - 50 * scale      # the scale of libjpeg's table, turned round


def _step(values: np.ndarray) -> int:
    """The step that most values are multiples of, 0 where there is none."""
    best, found = PERIODIC, 0
    for step in STEPS:
        large = values[np.abs(values) > step / 2]
        if len(large) >= FEWEST and (share := float(np.cos(2 * np.pi / step * large).mean())) > best:
            best, found = share, int(step)
    return found


def _grid(grey: np.ndarray) -> int:
    """The column that the first whole block begins with: where neighbours differ most."""
    differences = np.abs(np.diff(grey, axis=1))
    if differences.shape[1] < BLOCK:
        return 0
    return (int(np.argmax([differences[:, start::BLOCK].mean() for start in range(BLOCK)])) + 1) % BLOCK


def _repeated_columns(grey: np.ndarray) -> float:
    varied = np.ptp(grey, axis=0) > 0 if grey.size else np.zeros(0, bool)
    if varied.sum() < BLOCK:
        return 0.0
    same = np.abs(np.diff(grey, axis=1)).max(0) == 0
    return float(same[varied[1:]].mean())


def _tiles(grey: np.ndarray, side: int) -> np.ndarray:
    """[H, W] -> [N, side, side], without what is left at the edges."""
    down, along = (size // side for size in grey.shape)
    whole = grey[:down * side, :along * side].reshape(down, side, along, side)
    return whole.swapaxes(1, 2).reshape(-1, side, side)


COSINES = np.array([[np.sqrt((1 if k == 0 else 2) / BLOCK) * np.cos(np.pi * (2 * n + 1) * k / (2 * BLOCK))
                     for n in range(BLOCK)] for k in range(BLOCK)], np.float32)     # the discrete cosine transform
