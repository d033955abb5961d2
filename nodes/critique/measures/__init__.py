"""Measures of a picture: each is a function of a `Picture` that returns one number a picture, [B].

`TOOLBOX` holds those of the published tables of the Aesthetics-Toolbox, by the names of their columns (Redies et al.
2025, "A toolbox for calculating objective image properties in aesthetics research", doi 10.3758/s13428-025-02632-3);
`OTHERS` those without a public distribution. Six more columns need a file of the user's, see `filter_bank`; forms of
some that float pictures can be steered by are in `soft`.
"""
from collections.abc import Collection

from torch import Tensor

from . import (
    balance,
    colour,
    edges,
    fields,
    filters,
    fractal,
    ground,
    harmony,
    lean,
    movement,
    order,
    phog,
    rhythm,
    saliency,
    shape,
    spectrum,
    symmetry,
    value,
)
from .filter_bank import FilterBank

TOOLBOX = {
    "Image size (pixels)": shape.sides,
    "Aspect ratio": shape.aspect_ratio,
    "RMS contrast": value.rms_contrast,
    "Luminance entropy": value.luminance_entropy,
    "Complexity": phog.complexity,
    "Edge density": edges.edge_density,
    "Color entropy": colour.color_entropy,
    "mean R channel": colour.mean_of("R"),
    "mean G channel": colour.mean_of("G"),
    "mean B channel (RGB)": colour.mean_of("B"),
    "mean L channel": colour.mean_of("L"),
    "mean a channel": colour.mean_of("a"),
    "mean b channel (Lab)": colour.mean_of("b"),
    "mean H channel": colour.mean_hue,
    "mean S channel": colour.mean_of("S"),
    "mean V channel": colour.mean_of("V"),
    "std R channel": colour.std_of("R"),
    "std G channel": colour.std_of("G"),
    "std B channel": colour.std_of("B"),
    "std L channel": colour.std_of("L"),
    "std a channel": colour.std_of("a"),
    "std b channel (Lab)": colour.std_of("b"),
    "std H channel": colour.std_hue,
    "std S channel": colour.std_of("S"),
    "std V channel": colour.std_of("V"),
    "Mirror symmetry": symmetry.mirror_symmetry,
    "DCM distance": balance.dcm_distance,
    "DCM x position": balance.dcm_x,
    "DCM y position": balance.dcm_y,
    "Balance": balance.balance,
    "Slope Redies": spectrum.slope_redies,
    "Slope Spehar": spectrum.slope_spehar,
    "Slope Mather": spectrum.slope_mather,
    "Fourier sigma": spectrum.fourier_sigma,
    "2D Fractal dimension": fractal.dimension_2d,
    "3D Fractal dimension": fractal.dimension_3d,
    "Self-similarity (PHOG)": phog.self_similarity,
    "Anisotropy": phog.anisotropy,
    "Homogeneity": shape.homogeneity,
    "1st-order EOE": edges.first_order_eoe,
    "2nd-order EOE": edges.second_order_eoe,
}

OTHERS = {
    "Permutation entropy": order.permutation_entropy,
    "Statistical complexity": order.statistical_complexity,
    "Colorfulness": colour.colorfulness,
    "Mean warmth": colour.mean_warmth,
    "Warm-cold contrast": colour.warm_cold_contrast,
    "Complementary contrast": colour.complementary_contrast,
    **{f"Harmony {template}": harmony.fit_of(template) for template in harmony.TEMPLATES},
    "Harmony width": harmony.template_width,
    "Otsu separability": value.otsu_separability,
    "Dark share": value.dark_share,
    "Compactness": shape.compactness,
    "Symmetry left-right": symmetry.left_right,
    "Symmetry up-down": symmetry.up_down,
    "Likeness left-right": symmetry.likeness_left_right,
    "Likeness up-down": symmetry.likeness_up_down,
    "Likeness half-turn": symmetry.likeness_half_turn,
    "Tilt": lean.tilt,
    "Lean right": lean.lean_right,
    "Lean down": lean.lean_down,
    "Rim weight": lean.rim_weight,
    "Light weighs": lean.light_weighs,
    "Ground share": ground.ground_share,
    "Few colours": ground.few_colours,
    "Smooth share": fields.smooth_share,
    "Texture share": fields.texture_share,
    "Edge share": fields.edge_share,
    "Coherence": movement.coherence,
    "Obliqueness": movement.obliqueness,
    "Leading direction": movement.leading_direction,
    "Slant": movement.slant,
    "Repetition": rhythm.repetition,
    "Saliency entropy": saliency.saliency_entropy,
    "Saliency peak share": saliency.peak_share,
    "Thirds distance": saliency.thirds_distance,
    "Power point share": saliency.power_point_share,
}

MEASURES = {**TOOLBOX, **OTHERS}
FILTERED = tuple(filters.columns())


def measure(picture, bank: FilterBank | None = None, columns: Collection[str] | None = None) -> dict[str, Tensor]:
    """Every measure of a `Picture`: column name -> [B]; with the filters of `filter_bank` the six of FILTERED too.

    `columns` leaves out all but those that are named."""
    functions = {**MEASURES, **(filters.measures_of(bank) if bank else {})}
    return {name: function(picture) for name, function in functions.items() if columns is None or name in columns}
