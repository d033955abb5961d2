"""Brush marks as small masks: bristles, ragged ends, a dry tail; and the height of the paint they leave."""
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

ANGLES, VARIANTS = 24, 5


class Mark(NamedTuple):
    """`cover` and `height` are Pillow pictures of mode L; `half` their half width and height in pixels."""
    cover: Image.Image
    height: Image.Image
    half: tuple[int, int]


class Brush(NamedTuple):
    """`width` and `length` in pixels; `bristle` 0 smooth .. 1 stringy; `dry` how early the paint gives out;
    `grain` how much the ground shows through; `opaque` the cover of a full load."""
    width: float
    length: float
    bristle: float = 0.5
    dry: float = 0.3
    grain: float = 0.0
    opaque: float = 0.95


@lru_cache(64)
def marks(brush: Brush) -> list[list[Mark]]:
    """Marks by direction (24 over half a turn) and variant."""
    rng = np.random.default_rng(int(brush.width * 100) + 7 * int(brush.length * 10) + int(100 * brush.grain))
    return [[_mark(brush, np.pi * a / ANGLES, rng) for _ in range(VARIANTS)] for a in range(ANGLES)]


def _mark(brush: Brush, angle: float, rng) -> Mark:
    reach = brush.length / 2 + 2, brush.width / 2 + 2
    wide = int(np.ceil(abs(np.cos(angle)) * reach[0] + abs(np.sin(angle)) * reach[1]))
    tall = int(np.ceil(abs(np.sin(angle)) * reach[0] + abs(np.cos(angle)) * reach[1]))
    y, x = np.mgrid[-tall:tall + 1, -wide:wide + 1].astype(np.float32)
    along = (x * np.cos(angle) + y * np.sin(angle)) / (brush.length / 2)
    across = (-x * np.sin(angle) + y * np.cos(angle)) / (brush.width / 2)
    across = across + rng.uniform(-0.35, 0.35) * along * along * min(1, brush.length / brush.width / 4)
    cover, height = _load(brush, along, across, rng)
    return Mark(_grey(cover), _grey(height), (wide, tall))


def _load(brush: Brush, along, across, rng):
    """Cover and height of the paint at (along, across), each within -1..1 inside the mark."""
    hairs = max(4, int(brush.width * 0.75))
    at = (np.clip(across, -1, 1) + 1) / 2 * (hairs - 1)
    blend = lambda knots: np.interp(at, np.arange(hairs), knots).astype(np.float32)
    thick, start, end = rng.uniform(0, 1, hairs), rng.uniform(0.72, 1, hairs), rng.uniform(0.6, 1, hairs)
    side = np.clip((1 - np.abs(across)) * brush.width / 2 + 0.3, 0, 1)
    within = lambda share: np.clip(share * brush.length / 4, 0, 1)
    ends = within(blend(start) + along) * within(blend(end) - along)
    worn = brush.dry * np.clip(along + 0.4, 0, 1.4) / 1.4
    strand = np.clip((blend(thick) - worn) * 4 + 1.0 - brush.bristle, 0, 1)
    cover = brush.opaque * side * ends * (1 - brush.bristle * (1 - strand))
    if brush.grain:
        cover = cover * np.clip(1.4 - brush.grain * 2.2 * rng.random(cover.shape).astype(np.float32), 0, 1)
    rim, tip = np.clip(np.abs(across) * 2 - 1.2, 0, 1), np.clip(along - 0.5, 0, 1)
    height = 0.35 + 0.4 * blend(thick) + 0.25 * rim + 0.2 * tip
    return cover, height


def _grey(values) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


class Surface:
    """A picture in the making and the height of its paint."""

    def __init__(self, rgb: np.ndarray, relief: bool):
        self.picture = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8))
        self.height = Image.new("L", self.picture.size, 90) if relief else None

    def lay(self, brush: Brush, columns, rows, colours, angles, rng):
        """One mark at each (column, row) [N] in pixels with a colour [N, 3] in 0..1 and a direction in radians."""
        kit = marks(brush)
        turn = np.round(np.asarray(angles) / np.pi * ANGLES).astype(int) % ANGLES
        variant = rng.integers(0, VARIANTS, len(turn))
        paint = (np.clip(colours, 0, 1) * 255 + 0.5).astype(int)
        place, press = self.picture.paste, self.height.paste if self.height else None
        for x, y, a, v, colour in zip(columns.astype(int).tolist(), rows.astype(int).tolist(), turn.tolist(),
                                      variant.tolist(), paint.tolist(), strict=True):
            mark = kit[a][v]
            corner = x - mark.half[0], y - mark.half[1]
            place(tuple(colour), corner, mark.cover)
            if press:
                press(mark.height, corner, mark.cover)

    def array(self) -> np.ndarray:
        return np.asarray(self.picture, np.float32) / 255

    def relief(self) -> np.ndarray:
        return np.asarray(self.height, np.float32) / 255
