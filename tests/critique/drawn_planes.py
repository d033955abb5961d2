"""Drawn pictures of which it is known what must be said: planes [H, W] or colours [H, W, 3], 0..1."""
import numpy as np

SIDE = 96


def disc(x, y, radius=0.15, shape=(SIDE, SIDE), ink=0.0, paper=1.0):
    """A disc at (x, y) of the sides, its radius in shares of the shorter side."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(columns + 0.5 - x * width, rows + 0.5 - y * height) < radius * min(shape)
    return np.where(inside, ink, paper)


def scattered(seed, shape=(SIDE, SIDE)):
    """Soft blobs of several tones: a picture without an order."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:shape[0], :shape[1]]
    plane = np.full(shape, rng.uniform(0.2, 0.8))
    for _ in range(9):
        x, y, reach = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.uniform(6, 22)
        plane += rng.uniform(-0.5, 0.5) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / reach ** 2)
    return plane.clip(0, 1)


def coloured(seed, shape=(SIDE, SIDE)):
    return np.stack([scattered(seed + channel, shape) for channel in range(3)], -1)


def strokes():
    plane = np.ones((160, 160))
    for at in range(12, 150, 12):
        plane[at:at + 2, 10:150] = 0
        plane[10:150, at:at + 1] = 0
    return plane


def graded(height=256, width=320):
    """A ground from one colour to another, as a wallpaper has it."""
    y, x = np.mgrid[:height, :width] / height
    return np.stack([0.1 + 0.5 * x / x.max(), 0.2 + 0.4 * y, 0.8 - 0.3 * y * x], -1)


def with_shapes(ground, seed=0):
    """Polygons of their own colour, some of them graded, on a ground."""
    rng, drawn = np.random.default_rng(seed), ground.copy()
    rows, columns = np.mgrid[:ground.shape[0], :ground.shape[1]]
    for _ in range(5):
        x, y, reach = rng.uniform(0, ground.shape[1]), rng.uniform(0, ground.shape[0]), rng.uniform(15, 60)
        inside = np.abs(columns - x) + rng.uniform(0.5, 2) * np.abs(rows - y) < reach
        drawn[inside] = (rng.uniform(0, 1, 3) + rng.uniform(0, 0.002, 3) * rows[..., None])[inside].clip(0, 1)
    return drawn


def grained(picture, amount, seed=0):
    return (picture + np.random.default_rng(seed).normal(0, amount, picture.shape)).clip(0, 1)


def sky_over_leaves(seed):
    """A sky as smooth as a graphic's over what is rough: a photograph."""
    picture = graded()
    picture[170:] = np.random.default_rng(seed).uniform(0, 0.6, (86, 320, 3))
    return picture


def strokes_of_paint(seed):
    """Short dabs of near colours everywhere."""
    rng, picture = np.random.default_rng(seed), graded()
    for _ in range(2500):
        y, x, long = rng.integers(0, 250), rng.integers(0, 300), rng.integers(6, 20)
        picture[y:y + 4, x:x + long] = (picture[y, x] + rng.normal(0, 0.08, 3)).clip(0, 1)
    return picture
