"""How the picture opens into depth: what a depth map says, and whether far things are quieter, greyer and cooler.

Aerial perspective (Leonardo's term): with distance contrast, saturation and warmth fall. Each is the correlation, over
cells of the picture, of nearness with what should grow with it: -1 (the reverse) .. 1 (a straight fall into the
distance); 0 where either is the same everywhere. Nearness is the brightness of a depth map, as the host's depth nodes
draw it; without one, the height in the picture stands in for it: what lies lower counts as nearer.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

CELLS = 32  # along the longer side
BY_DEPTH = ("Depth spread", "Aerial contrast", "Aerial saturation", "Aerial warmth")
BY_HEIGHT = ("Height contrast", "Height saturation", "Height warmth")


def measure(picture, depth: Tensor | None = None) -> dict[str, float]:
    """The measures of space of one picture; those of BY_DEPTH only with DEPTH [h, w], bright where it is near."""
    width, height = picture.size
    grid = [max(2, round(CELLS * side / max(width, height))) for side in (height, width)]
    own = picture.palettes[0]
    lightness, yellow, saturation = (own.plane(values) for values in (own.lab[0], own.lab[2], own.hsv[1]))
    what = (_spread(lightness, grid), _mean(saturation, grid), _mean(yellow, grid))
    low = torch.linspace(0, 1, grid[0], dtype=what[0].dtype)[:, None].expand(*grid)
    found = dict(zip(BY_HEIGHT, (correlation(low, plane) for plane in what), strict=True))
    if depth is None:
        return found
    near = _mean(depth.to(what[0].dtype), grid)
    spread = (near.std(correction=0) / (near.max() - near.min()).clamp(min=1e-12)).item()
    return {**found, **dict(zip(BY_DEPTH, (spread, *(correlation(near, plane) for plane in what)), strict=True))}


def correlation(first: Tensor, second: Tensor) -> float:
    """Pearson's correlation of two planes; 0 where one of them does not change."""
    first, second = first - first.mean(), second - second.mean()
    size = (first.square().sum() * second.square().sum()).sqrt()
    return ((first * second).sum() / size).item() if size > 1e-9 else 0.0


def depth_of(depth: Tensor | None, number: int, count: int, height: int, width: int, box=None) -> Tensor | None:
    """The depth map of picture `number` of `count`: IMAGE [B or 1, h, w, C] -> [height, width] cut to `box`, or None.

    Raises ValueError with one sentence where there is neither one map nor one for each picture.
    """
    if depth is None:
        return None
    if depth.ndim != 4:
        raise ValueError(f"depth: expected [pictures, height, width, channels], got {list(depth.shape)}")
    if len(depth) not in (1, count):
        raise ValueError(f"depth: expected one map, or one for each of the {count} pictures, got {len(depth)}")
    plane = depth[min(number, len(depth) - 1), ..., :3].float().mean(-1)
    if not plane.isfinite().all():
        raise ValueError("depth: expected numbers from 0 to 1, got NaN or infinity")
    left, top, right, bottom = box or (0, 0, width, height)
    return F.interpolate(plane[None, None], size=(height, width), mode="bilinear")[0, 0, top:bottom, left:right].cpu()


def _mean(plane: Tensor, grid) -> Tensor:
    return F.adaptive_avg_pool2d(plane[None, None], grid)[0, 0]


def _spread(plane: Tensor, grid) -> Tensor:
    return (_mean(plane ** 2, grid) - _mean(plane, grid) ** 2).clamp(min=0).sqrt()
