"""When light and colour cannot be read: versions of different pictures, and kinds of picture the curves do not know."""
from collections.abc import Sequence
from statistics import median

import torch

from ..explain.phrases import named
from ..picture.planes import Picture
from .light_and_colour import Reading

ASPECT = 0.02  # as a share: what rounding to whole pixels and to multiples of 64 leaves of one format
EDGES = {"1st-order EOE": 0.381, "2nd-order EOE": 0.275}
"""One standard deviation over the 4,551 unspoiled photographs of the curves' data: 1.5 % of the copies that people made
of them and 4.5 % of those that programs made lie further from their original."""
BINS = 16  # levels a channel that count as one colour
GROUND, FEW, FLAT = 0.3, 12, 0.85  # share of the one commonest colour; share of the FEW commonest


def different_picture(sizes: Sequence[tuple[int, int]], measures: Sequence[dict[str, float]]) -> str:
    """Why the versions cannot be of one picture, in one sentence; "" where they may be.

    sizes: (width, height) of each; measures: at 1024 pixels. What it finds is certain enough to refuse, what it does
    not find proves nothing."""
    first = sizes[0][0] / sizes[0][1]
    for number, (width, height) in enumerate(sizes[1:], 2):
        if abs(width / height / first - 1) > ASPECT:
            return (f"version {number} has another format than version 1 ({width} x {height} against "
                    f"{sizes[0][0]} x {sizes[0][1]} pixels), so they are not versions of one picture")
    for column, spread in EDGES.items():
        for number, found in enumerate(measures[1:], 2):
            if abs(found[column] - measures[0][column]) > spread:
                return (f"the edges of version {number} run otherwise than those of version 1 ({named(column)}: "
                        f"{found[column]:.2f} against {measures[0][column]:.2f}), further than copies of a picture do")
    return ""


def unknown_kind(pictures: Sequence[Picture], readings: Sequence[Reading]) -> str:
    """Why the curves do not know this kind of picture, in one sentence; "" where they may."""
    grounds = [_common_colours(picture) for picture in pictures]
    if (share := median(common[0].item() for common in grounds)) > GROUND:
        return (f"one colour covers {100 * share:.0f} % of the picture; the curves were learnt from photographs and "
                "read a large plain ground, line art or night as a fault")
    if (share := median(common[:FEW].sum().item() for common in grounds)) > FLAT:
        return (f"{FEW} colours cover {100 * share:.0f} % of the picture; the curves were learnt from photographs and "
                "do not know flat colour")
    for number, reading in enumerate(readings, 1):
        if reading.unknown:
            return (f"{', '.join(map(named, reading.unknown))} of version {number} lies outside everything the curves "
                    "were learnt from")
    return ""


def _common_colours(picture: Picture) -> torch.Tensor:
    """Shares of the pixels that the commonest colours have, the largest first; BINS levels a channel."""
    own = picture.palettes[0]
    r, g, b = (own.colours.long() * BINS // 256).T
    return (own.sums((r * BINS + g) * BINS + b, BINS ** 3) / own.places.numel()).sort(descending=True).values
