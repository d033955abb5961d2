"""The default rubric: seven elements of art (E), nine principles of design (P) and Wölfflin's five positions.

A column that answers two criteria gives each half of its voice; columns that say the same thing share theirs (see
`reference.independent_shares`). Only columns with a public distribution count; the others are shown.
"""
from functools import lru_cache

from . import cards
from .criteria import Criterion, Rubric, Signal


def _signals(*columns: str) -> tuple[Signal, ...]:
    """Columns by name; a minus in front marks those of which less is more of the criterion."""
    return tuple(Signal(column.removeprefix("-"), -1 if column.startswith("-") else 1) for column in columns)


RUBRIC = (
    Criterion("E1", "Line", "How much is drawn, and in how many directions?",
              _signals("Edge density", "1st-order EOE"), "little is drawn", "a great deal is drawn"),
    Criterion("E2", "Shape", "How are the masses formed and spread over the picture?",
              _signals("Homogeneity", "2D Fractal dimension"), "few compact masses", "masses everywhere"),
    Criterion("E3", "Colour richness", "How strong and how varied is the colour?",
              _signals("Color entropy", "mean S channel", "std a channel", "std b channel (Lab)"),
              "few muted colours", "many strong colours"),
    Criterion("E5", "Value", "How far apart are light and dark, and how many steps lie between?",
              _signals("RMS contrast", "Luminance entropy"), "values close together", "a full scale of values"),
    Criterion("E6", "Texture", "How is detail shared between coarse and fine?",
              _signals("Slope Redies", "Fourier sigma"), "broad forms", "fine detail"),
    Criterion("P1", "Balance", "Where does the visual weight rest?",
              _signals("-DCM distance", "-Balance"), "the weight lies to one side", "the weight rests in the middle"),
    Criterion("P2", "Symmetry", "Does one half of the picture answer the other?",
              _signals("Mirror symmetry", "CNN symmetry left-right"), "no echo across the middle", "mirrored halves"),
    Criterion("P3", "Contrast", "Do strong and quiet colours meet?",
              _signals("std S channel"), "one strength of colour", "muted and strong colours meet"),
    Criterion("P5", "Movement", "Do the edges run in common directions?",
              _signals("Anisotropy"), "no direction leads", "a direction leads"),
    Criterion("P6", "Rhythm", "Do parts repeat the whole?",
              _signals("Self-similarity (PHOG)", "Self-similarity (CNN)"), "every part is different",
              "parts repeat the whole"),
    Criterion("P8", "Variety", "How differently do things run from one place to the next?",
              _signals("2nd-order EOE", "Color entropy", "Variability"), "alike everywhere", "different everywhere"),
)


@lru_cache(1)
def default() -> Rubric:
    """The sixteen criteria and, as positions that never count, Wölfflin's five pairs."""
    return Rubric("the default rubric", (*RUBRIC, *cards.card("woelfflin").concepts))
