"""Measures of a picture, by the column names of the published tables of the Aesthetics-Toolbox.

Each is a function of a `Picture` that returns one number a picture, [B]. Redies et al. 2025, "A toolbox for calculating
objective image properties in aesthetics research", doi 10.3758/s13428-025-02632-3, gives the definitions.
"""
from torch import Tensor

from . import balance, colour, edges, shape, spectrum, symmetry, value

MEASURES = {
    "RMS contrast": value.rms_contrast,
    "Luminance entropy": value.luminance_entropy,
    "Edge density": edges.edge_density,
    "Color entropy": colour.color_entropy,
    "mean S channel": colour.mean_saturation,
    "std a channel": colour.std_a,
    "std b channel (Lab)": colour.std_b,
    "std S channel": colour.std_saturation,
    "Mirror symmetry": symmetry.mirror_symmetry,
    "DCM distance": balance.dcm_distance,
    "Balance": balance.balance,
    "Slope Redies": spectrum.slope_redies,
    "Homogeneity": shape.homogeneity,
    "1st-order EOE": edges.first_order_eoe,
    "2nd-order EOE": edges.second_order_eoe,
}


def measure(picture) -> dict[str, Tensor]:
    """Every measure of a `Picture`: column name -> [B]."""
    return {name: function(picture) for name, function in MEASURES.items()}
