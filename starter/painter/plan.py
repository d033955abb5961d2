"""The under-painting: colours, the direction and size of strokes, and which region each pixel belongs to."""
import numpy as np

from .fields import SIZE, mix


class Plan:
    """`rgb` [256, 256, 3] in 0..1; `angle` radians of the stroke (0 is level); `fine` 0 broad .. 1 small strokes;
    `region` numbers that change where one thing ends and another begins."""

    def __init__(self):
        self.rgb = np.zeros((SIZE, SIZE, 3), np.float32)
        self.angle = np.zeros((SIZE, SIZE), np.float32)
        self.fine = np.zeros((SIZE, SIZE), np.float32)
        self.region = np.zeros((SIZE, SIZE), np.int16)
        self.regions = 0

    def lay(self, cover, colour, angle=None, fine=None, where=(slice(None), slice(None)), new: bool = True):
        """Paints `colour` ([3] or [h, w, 3]) where `cover` [h, w] is 1, over the pixels `where`."""
        self.rgb[where] = mix(self.rgb[where], colour, cover)
        inside = cover > 0.5
        self.regions += new
        self.region[where][inside] = self.regions
        for field, value in ((self.angle, angle), (self.fine, fine)):
            if value is not None:
                field[where][inside] = value[inside] if np.ndim(value) else value
