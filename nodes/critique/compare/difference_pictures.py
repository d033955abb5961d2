"""What shows the difference between versions: a grid of the eight parts, and maps of where the colour changed."""
import torch
from torch import Tensor

from ...charts.chart_types.effect_bars import Words, effect_grid
from ...charts.drawing.draw import render
from ...charts.drawing.scene import image, layer, place, spread, text
from ...charts.drawing.theme import LIGHT, ramp
from ..explain.heat_maps import heat
from ..picture import colour_spaces, resample
from ..picture.planes import Picture
from ..report.heat_map_picture import overlay
from .light_and_colour import curves
from .versions import Comparison

LARGEST_MAP = 512  # pixels along the longer side of a map
VISIBLE = 2.3  # CIE76 units that an eye just notices (Mahy et al. 1994)
SHORT = {"mean L channel": "lightness", "RMS contrast": "value contrast", "mean S channel": "colour strength",
         "std S channel": "strength varies", "mean a channel": "green to red", "mean b channel (Lab)": "blue to yellow",
         "std a channel": "red-green varies", "3D Fractal dimension": "grain"}
CAPTION = 62


def chart(found: Comparison) -> Tensor:
    """IMAGE [1, h, w, 3]: a row a version, the least spoiled first; a column each of the eight parts, and their sum."""
    names = list(curves())
    rows = []
    for place_of in found.order:
        light = found.versions[place_of].light
        values = [None] * (len(names) + 1) if found.refused else [light.total, *(light.parts[name] for name in names)]
        rows.append((f"version {place_of + 1}", values))
    what = "not read; the report says why" if found.refused else "log-odds against each version, 0 is no complaint"
    words = Words("Light and colour", what, "A column has its own scale. Not beauty, not quality.")
    return render(effect_grid(rows, ["sum", *(SHORT[name] for name in names)], words, LIGHT), LIGHT.paper)


def maps(found: Comparison) -> Tensor:
    """IMAGE [N - 1, h, w, 3]: where each version differs from version 1 in colour, brightest where it does most."""
    first = found.versions[0].picture.at_longer_side(LARGEST_MAP)
    return torch.cat([_map(number, first, version.picture) for number, version in enumerate(found.versions[1:], 2)])


def difference(first: Picture, other: Picture) -> Tensor:
    """CIE76 between two pictures, [h, w] of the first; the other is stretched to its size."""
    width, height = first.size
    rgb = resample.lanczos(other.rgb, height, width)
    return (first.lab[0] - colour_spaces.lab(rgb, first.dtype)[0]).square().sum(0).sqrt()


def _map(number: int, first: Picture, other: Picture) -> Tensor:
    apart = difference(first, other)
    width, height = first.size
    largest = apart.max().item()
    plane = heat(apart, height, width) if largest >= VISIBLE else torch.zeros(height, width)
    said = f"mean {apart.mean().item():.1f}, largest {largest:.1f} CIE76" if largest >= VISIBLE else (
        f"no visible difference (at most {largest:.1f} CIE76)")
    key = image(ramp(torch.linspace(0, 1, 128)).expand(10, -1, -1))
    lines = spread([text(f"Version {number} against version 1", 17, LIGHT.ink),
                    spread([text(said, 14, LIGHT.muted), key], "x", 10, align="middle")], "y", 4)
    full = max(width, round(lines.w) + 20)
    return render(layer([place((full - width) // 2, 0, image(overlay(first, plane))), place(10, height + 6, lines)],
                        max(full, 460), height + CAPTION), LIGHT.paper)
