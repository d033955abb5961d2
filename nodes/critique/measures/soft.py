"""Differentiable forms of measures: functions of float sRGB [B, 3, H, W], 0..1, to one number a picture, [B].

`SOFT` names each by the column it stands for. They follow their measure but do not equal it: thresholds become
sigmoids, counts share a value between two neighbouring bins, minima become soft, and nothing is rounded to 8 bits. What
cannot move smoothly (Otsu's threshold) is held still. Gradients are finite everywhere, grey included.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ....kernels.constants import constant
from . import balance as hard_balance
from . import harmony as hard_harmony
from . import histogram, lean, movement, saliency, spectrum, symmetry
from .soft_colour import chroma_vector, grey, hue_and_saturation, lab, root, spread
from .soft_spectrum import enlarged_rings

SOFT = {}
SWITCH = 4.0  # grey levels over which a threshold turns
SHORE = 12.0  # grey levels over which the edge of the dark shape turns: what lies far from it could not be moved
ROUND = 16.0  # grey levels: a difference below it, such as grain, hardly pulls; all would pull alike otherwise
SPECTRUM_SIDE = 1024
BLUR = 1.5  # grey levels: the gradient of a histogram without it evens out neighbouring bins and nothing else
SHARPEST = 0.02  # degrees within which turns of a harmony template count as equally good


def differentiable(column: str):
    """Marks a function as the differentiable form of a measure."""
    def mark(function):
        SOFT[column] = function
        return function

    return mark


def soft_minimum(values: Tensor, width: float) -> Tensor:
    """Smooth minimum over the last dimension, below the minimum by at most width x ln n."""
    return -width * torch.logsumexp(-values / width, -1)


def soft_counts(places: Tensor, length: int, weight: Tensor | None = None, circular: bool = False) -> Tensor:
    """Histogram of float places [B, N] in 0..length - 1, each shared by its two neighbours: [B, length]."""
    weight = torch.ones_like(places) if weight is None else weight
    low = places.detach().floor().long().clamp(0, length - 1)
    share = (places - low) * weight
    high = (low + 1) % length if circular else (low + 1).clamp(max=length - 1)
    counts = places.new_zeros(len(places), length)
    return counts.scatter_add(1, low, weight - share).scatter_add(1, high, share)


def weight(image: Tensor) -> Tensor:
    """Visual weight [B, H, W], 0..255: grey, or 255 minus it where most of the picture is light."""
    plane = grey(image)
    light = torch.sigmoid((plane - 127.5) / SWITCH).mean((1, 2), keepdim=True)
    turned = torch.sigmoid((light - 0.5) * 100)
    return plane + turned * (255 - 2 * plane) + 1e-6


@differentiable("Balance")
def balance(image: Tensor) -> Tensor:
    """Mean of the eight tilts in % of the weight, 0 (balanced) .. 100; see `balance.balance`."""
    mass = weight(image)
    tilts = hard_balance.tilts(*mass.shape[1:], device=mass.device).to(mass.dtype)
    return torch.einsum("bhw,khw->bk", mass, tilts).abs().mean(1) / mass.sum((1, 2)) * 100


@differentiable("Tilt")
def tilt(image: Tensor) -> Tensor:
    """Imbalance of sides and diagonals, % of the weight, 0 (none leans) .. 100; see `lean.tilt`."""
    mass = weight(image)
    parts = torch.stack(lean.divisions(*mass.shape[1:], dtype=mass.dtype, device=mass.device))
    return root(torch.einsum("bhw,khw->bk", mass, parts) ** 2).mean(1) / mass.sum((1, 2)) * 100


@differentiable("DCM distance")
def dcm_distance(image: Tensor) -> Tensor:
    """Distance of the centre of mass from the middle in % of half a side, not rounded; see `balance.dcm_distance`."""
    mass = weight(image)
    share = mass / mass.sum((1, 2), keepdim=True)
    y, x = ((torch.arange(n, dtype=mass.dtype, device=mass.device) + 1) / n - 0.5 for n in mass.shape[1:])
    return root((share.sum(1) @ x) ** 2 + (share.sum(2) @ y) ** 2) * 200


def likeness_of(dims: tuple[int, ...]):
    """The differentiable likeness of a picture and itself mirrored along `dims`; see `symmetry.likenesses`."""
    def likeness(image: Tensor) -> Tensor:
        plane = grey(image)
        side = symmetry.FORMS / max(plane.shape[1:])
        if side < 1:
            size = tuple(max(1, round(length * side)) for length in plane.shape[1:])
            plane = F.interpolate(plane[:, None], size, mode="bilinear", align_corners=False, antialias=True)[:, 0]
        apart = root((plane - plane.flip(dims)) ** 2).mean((1, 2))
        return 1 - apart / (symmetry.mean_difference(plane) + 1e-3)

    return likeness


for _name, _dims in (("left-right", (2,)), ("up-down", (1,)), ("half-turn", (1, 2))):
    differentiable(f"Likeness {_name}")(likeness_of(_dims))


@differentiable("Symmetry left-right")
def left_right(image: Tensor) -> Tensor:
    """1 - sum |a - b| / sum max(a, b) over grey and its mirror image, 0 .. 1, |a - b| rounded at 0; see
    `symmetry.left_right`."""
    return _likeness(grey(image), 2)


@differentiable("Symmetry up-down")
def up_down(image: Tensor) -> Tensor:
    """The same, top to bottom."""
    return _likeness(grey(image), 1)


def _likeness(plane: Tensor, dim: int) -> Tensor:
    other = plane.flip(dim)
    apart = ((plane - other) ** 2 + ROUND ** 2).sqrt() - ROUND
    return 1 - apart.sum((1, 2)) / (torch.maximum(plane, other).sum((1, 2)) + 1e-6)


@differentiable("Mirror symmetry")
def mirror_symmetry(image: Tensor) -> Tensor:
    """Mean share of the dark shape that the axes mirror onto itself, %; see `symmetry.mirror_symmetry`."""
    plane = grey(image)
    dark = torch.sigmoid((between_shades(plane.detach()) - plane) / SHORE)
    return torch.stack([each.sum((1, 2)) for each in symmetry.folds(dark, dark.dtype)]).mean(0) * 100


def between_shades(plane: Tensor) -> Tensor:
    """Midway between the means of the dark and the light that Otsu's threshold parts, grey levels [B, 1, 1].

    The threshold itself is the last level of the dark: often the very level of a flat dark ground.
    """
    counts = histogram.counts(plane.round().clamp(0, 255).long().flatten(1), 256).to(plane)
    levels = torch.arange(256, dtype=plane.dtype, device=plane.device)
    dark = levels <= histogram.otsu(counts)[:, 0].to(plane)
    means = [(counts * side * levels).sum(1) / (counts * side).sum(1) for side in (dark, ~dark)]
    return means[0].lerp(means[1].nan_to_num(levels[-1].item()), 0.5)[:, None, None]


@differentiable("RMS contrast")
def rms_contrast(image: Tensor) -> Tensor:
    """Standard deviation of CIE L*, 0..50."""
    return spread(lab(image)[:, 0])


@differentiable("mean L channel")
def mean_lightness(image: Tensor) -> Tensor:
    """Mean of CIE L*, 0..100."""
    return lab(image)[:, 0].mean((1, 2))


@differentiable("Luminance entropy")
def luminance_entropy(image: Tensor) -> Tensor:
    """The range of values: entropy of CIE L* in 256 levels of its largest, blurred by BLUR levels, bits, 0..8."""
    plane = lab(image)[:, 0].flatten(1)
    largest = plane.amax(1, keepdim=True).clamp(min=1e-3)
    counts = soft_counts((plane / largest * 255).clamp(0, 255), 256)
    reach = math.ceil(3 * BLUR)
    bell = torch.exp(-(torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device) / BLUR) ** 2 / 2)
    around = F.pad(counts[:, None], (reach, reach), mode="reflect")
    return histogram.entropy(F.conv1d(around, bell[None, None])[:, 0])


@differentiable("mean S channel")
def mean_saturation(image: Tensor) -> Tensor:
    """Mean of HSV saturation, 0..1."""
    return hue_and_saturation(image)[1].mean((1, 2))


@differentiable("std S channel")
def std_saturation(image: Tensor) -> Tensor:
    """Standard deviation of HSV saturation, 0..0.5."""
    return spread(hue_and_saturation(image)[1])


@differentiable("mean a channel")
def mean_a(image: Tensor) -> Tensor:
    """Mean of CIE a*: green below 0, red above."""
    return lab(image)[:, 1].mean((1, 2))


@differentiable("mean b channel (Lab)")
def mean_b(image: Tensor) -> Tensor:
    """Mean of CIE b*: blue below 0, yellow above."""
    return lab(image)[:, 2].mean((1, 2))


@differentiable("std a channel")
def std_a(image: Tensor) -> Tensor:
    """Standard deviation of CIE a*."""
    return spread(lab(image)[:, 1])


@differentiable("std b channel (Lab)")
def std_b(image: Tensor) -> Tensor:
    """Standard deviation of CIE b*."""
    return spread(lab(image)[:, 2])


@differentiable("Colorfulness")
def colorfulness(image: Tensor) -> Tensor:
    """Hasler & Suesstrunk's M3, 0 (grey) to about 110; see `colour.colorfulness`."""
    r, g, b = (image * 255).unbind(1)
    opponent = torch.stack((r - g, (r + g) / 2 - b), 1)
    mean = opponent.mean((2, 3))
    variance = ((opponent - mean[..., None, None]) ** 2).mean((2, 3)).sum(1)
    return root(variance) + 0.3 * root((mean ** 2).sum(1))


@differentiable("Warm-cold contrast")
def warm_cold_contrast(image: Tensor) -> Tensor:
    """Standard deviation of Ou's warmth; see `colour.warmth`."""
    chroma, cosine = chroma_vector(lab(image))
    return spread(0.02 * chroma ** 1.07 * cosine)


def harmony_of(template: str):
    """The differentiable fit to one template, about 0 .. 1 (all hues inside); see `harmony.fits`."""
    index = list(hard_harmony.TEMPLATES).index(template)

    def harmony(image: Tensor) -> Tensor:
        hue, saturation = hue_and_saturation(image)
        mass = soft_counts((hue * hard_harmony.HUES).flatten(1) % hard_harmony.HUES, hard_harmony.HUES,
                           saturation.flatten(1), circular=True)
        apart = hard_harmony.distances(image.dtype, image.device)[index:index + 1]
        found = hard_harmony.turned(mass / (mass.sum(1, keepdim=True) + 1e-6), apart)
        return 1 - soft_minimum(found[:, 0], SHARPEST) / apart.mean()

    return harmony


for _template in hard_harmony.TEMPLATES:
    differentiable(f"Harmony {_template}")(harmony_of(_template))


@differentiable("Slope Redies")
def slope(image: Tensor) -> Tensor:
    """Slope of log power against log frequency from 10 to 256 cycles a picture; see `spectrum.slope_redies`."""
    plane = grey(image)
    plane = plane - plane.mean((1, 2), keepdim=True)
    power = enlarged_rings(plane, SPECTRUM_SIDE, 256) + 1e-6
    bins = spectrum.log_bins(10, 256)
    low, high = constant(tuple(map(tuple, bins)), power).T[..., None]
    at = torch.arange(power.shape[1], dtype=power.dtype, device=power.device)
    inside = ((at >= low - 1) & (at < high)).to(power)
    means = power @ (inside / inside.sum(1, keepdim=True)).mT
    return spectrum.fit(((low + high) / 2).log10()[:, 0], means.log10())[0]


@differentiable("Coherence")
def coherence(image: Tensor) -> Tensor:
    """How clearly each place has one direction, 0 .. 1, at the picture's own size; see `movement.coherence`."""
    rows, columns, both = movement.structure(grey(image) / 255)
    return root((rows - columns) ** 2 + 4 * both ** 2).sum((1, 2)) / ((rows + columns).sum((1, 2)) + 1e-6)


@differentiable("Obliqueness")
def obliqueness(image: Tensor) -> Tensor:
    """How slanted the directions are, 0 .. 1, at the picture's own size; see `movement.obliqueness`."""
    rows, columns, both = movement.structure(grey(image) / 255)
    return (2 * both).abs().sum((1, 2)) / (root((rows - columns) ** 2 + 4 * both ** 2).sum((1, 2)) + 1e-6)


@differentiable("Leading direction")
def leading_direction(image: Tensor) -> Tensor:
    """How far one direction rules, 0 .. 1, at the picture's own size; see `movement.leading_direction`."""
    rows, columns, both = movement.structure(grey(image) / 255)
    along, across = (rows - columns).sum((1, 2)), 2 * both.sum((1, 2))
    return root(along ** 2 + across ** 2) / ((rows + columns).sum((1, 2)) + 1e-6)


@differentiable("Saliency entropy")
def saliency_entropy(image: Tensor) -> Tensor:
    """How widely attention is spread, 0 .. 1; see `saliency.saliency_entropy`."""
    share = saliency_shares(image).flatten(1)
    return -(share * (share + 1e-12).log()).sum(1) / math.log(share.shape[1])


@differentiable("Thirds distance")
def thirds_distance(image: Tensor) -> Tensor:
    """Distance from the centre of saliency to the nearest crossing of the thirds, soft; see `saliency`."""
    centre = saliency.centroid(saliency_shares(image))
    points = constant(tuple(map(tuple, saliency.POWER_POINTS)), centre)
    return soft_minimum(root(((centre[:, None] - points) ** 2).sum(2)), 0.005)


def saliency_shares(image: Tensor) -> Tensor:
    """Spectral residual saliency that sums to 1, [B, 64, 64]."""
    size = (saliency.SIDE, saliency.SIDE)
    plane = F.interpolate(grey(image)[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    waves = torch.fft.fft2(plane)
    loud = (waves.real ** 2 + waves.imag ** 2 + 1e-6).sqrt()
    log = loud.log()
    course = F.avg_pool2d(F.pad(log[:, None], (1, 1, 1, 1), mode="reflect"), 3, 1)[:, 0]
    left = torch.fft.ifft2(waves / loud * (log - course).exp())
    power = saliency.blurred((left.real ** 2 + left.imag ** 2 + 1e-12).sqrt()) ** 2
    return power / power.sum((1, 2), keepdim=True)
