"""Finds the things on a picture of the starter's world and names the shape and colour of each, without the prompt."""
import math

import torch
from pictures import COLOURS, DOTS, INK, SHAPES, Scene, Thing, colour, cover, distance, draw_ground, grid

SIZE = 64                        # pictures are judged at two pixels a dot
LEAST_HOLE = 0.08                # share of a thing; holes of drawn rings take 0.11 to 0.25, other gaps at most 0.054
LEAST_AREA = 60                  # pixels; stars of the night sky are smaller
DARK_NAMES = ("black", "ink")


def paints() -> tuple[list[str], torch.Tensor]:
    """Names and tints [N, 3, 3] of everything things are drawn with: as it is, in light and in shade."""
    names = [*COLOURS, "ink"]
    plain = torch.stack([colour(COLOURS.get(name, INK)).flatten() for name in names])
    return names, torch.stack([plain, torch.lerp(plain, torch.ones(3), 0.3), plain * 0.7], 1)


def on_ground(picture: torch.Tensor, ground: str) -> torch.Tensor:
    """[64, 64] bool: pixels that are nearer to a paint than to the plain ground or the ground in shadow."""
    plain = draw_ground(ground, SIZE, None)
    tones = torch.stack([plain * shade for shade in (1.0, 0.9, 0.8, 0.72)])
    to_ground = (tones - picture).square().sum(1).amin(0)
    to_paint = (paints()[1].view(-1, 3, 1, 1) - picture).square().sum(1).amin(0)
    return to_paint < to_ground


def name_colour(pixels: torch.Tensor) -> str:
    """`pixels` [N, 3]: the colour most pixels are nearest to.

    Black and ink count only when hardly anything else is there.
    """
    names, tints = paints()
    nearest = (pixels[:, None, None] - tints).square().sum(-1).amin(-1).argmin(-1)
    votes = dict(zip(names, torch.bincount(nearest, minlength=len(names)).tolist(), strict=True))
    bright = {name: count for name, count in votes.items() if name not in DARK_NAMES}
    best = max(bright, key=bright.get)
    return best if bright[best] > 0.2 * len(pixels) else "black"


def name_shape(mask: torch.Tensor) -> str:
    """A thing with a hole is a ring; any other is the shape whose drawing, at the same centre of mass and area,
    overlaps the mask [64, 64] best."""
    if has_hole(mask):
        return "ring"
    x, y = grid(SIZE)
    area = float(mask.sum()) / (SIZE / DOTS) ** 2
    centre = float((x * mask).sum() / mask.sum()), float((y * mask).sum() / mask.sum())
    return max((s for s in SHAPES if s != "ring"), key=lambda shape: best_overlap(shape, mask, centre, area))


def has_hole(mask: torch.Tensor) -> bool:
    from scipy import ndimage
    filled = torch.from_numpy(ndimage.binary_fill_holes(mask.numpy()))
    return int(filled.sum() - mask.sum()) >= LEAST_HOLE * int(filled.sum())


def best_overlap(shape: str, mask: torch.Tensor, centre, area: float) -> float:
    x, y = grid(SIZE)
    unit = distance(Thing(shape, "", 16, 16, 8), x, y) < 0
    radius = 8 * math.sqrt(area / (float(unit.sum()) / (SIZE / DOTS) ** 2))
    off = float((x * unit).sum() / unit.sum() - 16) / 8, float((y * unit).sum() / unit.sum() - 16) / 8
    best = 0.0
    for scale in (0.94, 1.0, 1.06):
        for dx in (-0.5, 0.0, 0.5):
            for dy in (-0.5, 0.0, 0.5):
                left, top = centre[0] - off[0] * radius + dx, centre[1] - off[1] * radius + dy
                thing = Thing(shape, "", left, top, radius * scale)
                drawn = cover(distance(thing, x, y), SIZE) > 0.5
                best = max(best, float((drawn & mask).sum() / (drawn | mask).sum()))
    return best


def find(picture: torch.Tensor, ground: str) -> list[Thing]:
    """Things on a picture [3, 128, 128] in 0..1, largest first."""
    from scipy import ndimage
    small = torch.nn.functional.interpolate(picture[None].float(), (SIZE, SIZE), mode="area")[0]
    labels, count = ndimage.label(on_ground(small, ground).numpy())
    labels = torch.from_numpy(labels)
    parts = sorted((labels == i + 1 for i in range(count)), key=lambda m: -int(m.sum()))
    x, y = grid(SIZE)
    return [Thing(name_shape(m), name_colour(small[:, m].T), float(x[m].mean()), float(y[m].mean()), 0.0)
            for m in parts if int(m.sum()) >= LEAST_AREA]


def agrees(found: list[Thing], scene: Scene) -> bool:
    """Whether the picture shows exactly the scene's things, each with its shape and colour, standing as they should."""
    if len(found) != len(scene.things):
        return False
    if len(found) == 2:
        apart = lambda things: (things[1].x - things[0].x, things[1].y - things[0].y)
        (dx, dy), (ex, ey) = apart(found), apart(scene.things)
        if dx * ex + dy * ey < 0:
            found = found[::-1]
    return all(f.shape == t.shape and f.colour == t.colour for f, t in zip(found, scene.things, strict=True))
