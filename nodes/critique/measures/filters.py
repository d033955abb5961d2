"""Measures that need the first layer of AlexNet: the filters are the user's own file, never part of the pack.

Brachmann & Redies 2016, doi 10.3390/sym8120144 (symmetry); Brachmann, Barth & Redies 2017, doi
10.3389/fpsyg.2017.00830 (sparseness and variability).
"""
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .filter_bank import FilterBank

SIDE = 512
IMAGENET_BGR = (104.00698793, 116.66876762, 122.67891434)
MIRRORS = {"CNN symmetry left-right": (3,), "CNN symmetry up-down": (2,), "CNN symmetry left-right & up-down": (2, 3)}


def columns() -> dict:
    """The columns of the published tables that need the filters: name -> function of a Picture and a FilterBank."""
    return {**{name: partial(symmetry, mirror=dims) for name, dims in MIRRORS.items()},
            "Self-similarity (CNN)": self_similarity, "Sparseness": sparseness, "Variability": variability}


def measures_of(bank: FilterBank) -> dict:
    """The same with their filters: name -> function of a Picture."""
    return {name: partial(function, bank=bank) for name, function in columns().items()}


def symmetry(picture, bank: FilterBank, mirror: tuple[int, ...]) -> Tensor:
    """Likeness of the strongest responses in 17 x 17 places to those of the mirrored picture: 0 .. 1 (symmetric)."""
    own = pooled(responses(picture, bank), 17)
    other = pooled(bank.respond(picture.once(prepared).flip(mirror)), 17)
    return 1 - (own - other).abs().sum((1, 2, 3)) / torch.maximum(own, other).sum((1, 2, 3))


def self_similarity(picture, bank: FilterBank) -> Tensor:
    """Overlap of the responses of 8 x 8 parts with those of the whole, the median part: 0 .. 1 (alike)."""
    whole, parts = (_normal(pooled(responses(picture, bank), side)).flatten(2) for side in (1, 8))
    return torch.minimum(whole, parts).sum(1).quantile(0.5, dim=1)


def sparseness(picture, bank: FilterBank) -> Tensor:
    """Variance of the shares of the 96 filters over 22 x 22 places, 0 (every filter alike everywhere) and up."""
    return _normal(pooled(responses(picture, bank), 22)).flatten(1).var(1, correction=0)


def variability(picture, bank: FilterBank) -> Tensor:
    """Variance of the share of a filter over 12 x 12 places, the median filter: 0 (the same everywhere) and up."""
    return _normal(pooled(responses(picture, bank), 12)).var((2, 3), correction=0).quantile(0.5, dim=1)


def responses(picture, bank: FilterBank) -> Tensor:
    """What the 96 filters answer, [B, 96, 126, 126], 0 and up."""
    return picture.once(_respond, bank)


def _respond(picture, bank: FilterBank) -> Tensor:
    return bank.respond(picture.once(prepared))


def prepared(picture) -> Tensor:
    """The picture as the filters read it: B, G, R minus their means in ImageNet, [B, 3, 512, 512]."""
    planes = picture.rgb.flip(1)
    # Rounded to float32 between the passes, because the published implementation is.
    smooth = torch.stack([_linear(_smooth(plane.double())) for plane in planes.flatten(0, 1)])
    mean = torch.tensor(IMAGENET_BGR, dtype=torch.float64, device=smooth.device)[:, None, None]
    return (smooth.view(len(planes), 3, SIDE, SIDE) - mean).to(picture.dtype)


def pooled(answers: Tensor, side: int) -> Tensor:
    """The strongest answer of each filter in `side` x `side` places: [B, K, H, W] -> [B, K, side, side]."""
    for dim in (2, 3):
        step = answers.shape[dim] / side
        ends = [(int(place * step), int(place * step + step)) for place in range(side)]
        answers = torch.stack([answers.narrow(dim, first, last - first).amax(dim) for first, last in ends], dim)
    return answers


def _normal(answers: Tensor) -> Tensor:
    total = answers.sum(1, keepdim=True)
    return answers / torch.where(total > 0, total, 1)


def _smooth(plane: Tensor) -> Tensor:
    """float64 [H, W] under a Gaussian where a side has to shrink to 512, as scikit-image's `resize` does first."""
    for dim in (0, 1):
        sigma = max(0, (plane.shape[dim] / SIDE - 1) / 2)
        radius = int(4 * sigma + 0.5)
        if radius:
            place = torch.arange(-radius, radius + 1, dtype=plane.dtype, device=plane.device)
            bell = torch.exp(-place ** 2 / (2 * sigma * sigma))
            line = _mirrored(plane if dim == 1 else plane.T, radius)[:, None]
            plane = F.conv1d(line, (bell / bell.sum())[None, None])[:, 0].float().double()
            plane = plane if dim == 1 else plane.T
    return plane


def _linear(plane: Tensor) -> Tensor:
    """float64 [H, W] -> [512, 512] by linear interpolation, mirrored at the rim without repeating it."""
    for dim in (0, 1):
        length = plane.shape[dim]
        place = (torch.arange(SIDE, dtype=plane.dtype, device=plane.device) + 0.5) * (length / SIDE) - 0.5
        place = place.abs()
        place = torch.where(place > length - 1, 2 * (length - 1) - place, place)
        low = place.floor().long().clamp(max=length - 2)
        share = (place - low)[:, None] if dim == 0 else (place - low)[None]
        plane = torch.lerp(plane.index_select(dim, low), plane.index_select(dim, low + 1), share)
    return plane.float().double()


def _mirrored(lines: Tensor, rim: int) -> Tensor:
    length = lines.shape[1]
    place = torch.arange(-rim, length + rim, device=lines.device) % (2 * length - 2)
    return lines[:, torch.minimum(place, 2 * length - 2 - place)]
