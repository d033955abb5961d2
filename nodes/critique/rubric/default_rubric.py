"""The default rubric: seven elements of art (E), nine principles of design (P) and Wölfflin's five positions.

A column that answers two criteria gives each half of its voice; columns that say the same thing share theirs (see
`reference.independent_shares`). Columns without a public distribution, or that move when a picture is resized, are
shown and do not count. Symmetry and Movement and, where a rubric wants more or less of it, Balance rest on measures of
our own, which do what their names say; the published Mirror symmetry follows the share of dark, and speaks for
Proportion, and the published Anisotropy is higher in nearly every photograph than in any painting.
"""
from functools import lru_cache

from ..measures import pictorial_depth
from . import critic_cards
from .criteria import Criterion, Rubric, Signal


def _signals(*columns: str) -> tuple[Signal, ...]:
    """Columns by name; a minus in front marks those of which less is more of the criterion."""
    return tuple(Signal(column.removeprefix("-"), -1 if column.startswith("-") else 1) for column in columns)


RUBRIC = (
    Criterion(
        "E1",
        "Line",
        "How much is drawn, and in how many directions?",
        _signals("Edge density", "1st-order EOE"),
        "little is drawn",
        "a great deal is drawn",
    ),
    Criterion(
        "E2",
        "Shape",
        "How are the masses formed and spread over the picture?",
        _signals("Homogeneity", "2D Fractal dimension", "-Compactness"),
        "few compact masses",
        "broken masses everywhere",
    ),
    Criterion(
        "E3",
        "Colour richness",
        "How strong and how varied is the colour?",
        _signals("Color entropy", "mean S channel", "std a channel", "std b channel (Lab)", "Colorfulness"),
        "few muted colours",
        "many strong colours",
    ),
    Criterion(
        "E4",
        "Colour harmony",
        "Do the hues lie on the hue circle as a harmony would have them?",
        _signals("-Harmony width", *(f"Harmony {template}" for template in ("i", "V", "L", "I", "Y"))),
        "hues all around the circle",
        "hues in one simple figure",
    ),
    Criterion(
        "E5",
        "Value",
        "How far apart are light and dark, and how many steps lie between?",
        _signals("RMS contrast", "Luminance entropy", "Otsu separability"),
        "values close together",
        "a full scale of values",
    ),
    Criterion(
        "E6",
        "Texture",
        "How is detail shared between coarse and fine?",
        _signals("Slope Redies", "Fourier sigma", "Permutation entropy", "-Statistical complexity"),
        "broad forms",
        "fine detail",
    ),
    Criterion(
        "E7",
        "Space",
        "Does the picture open into depth?",
        _signals(*pictorial_depth.BY_DEPTH, *pictorial_depth.BY_HEIGHT),
        "far things like near ones",
        "contrast, colour and warmth fall with distance",
    ),
    Criterion(
        "P1",
        "Balance",
        "Where does the visual weight rest?",
        _signals("-DCM distance", "-Balance", "-Tilt"),
        "the weight lies to one side",
        "the weight rests in the middle",
        aimed=_signals("-Tilt"),
    ),
    Criterion(
        "P2",
        "Symmetry",
        "Does one half of the picture answer the other?",
        _signals("Likeness left-right", "Likeness up-down", "Likeness half-turn", "CNN symmetry left-right",
                 "Symmetry left-right", "Symmetry up-down"),
        "no echo across the middle",
        "mirrored halves",
        aimed=_signals("Likeness left-right"),
    ),
    Criterion(
        "P3",
        "Contrast",
        "Do opposites meet: light and dark, strong and quiet colour, warm and cold, complementary colours?",
        _signals("RMS contrast", "std S channel", "Warm-cold contrast", "Complementary contrast"),
        "everything is akin",
        "opposites meet",
        aimed=_signals("RMS contrast", "std S channel", "Warm-cold contrast", "Complementary contrast"),
    ),
    Criterion(
        "P4",
        "Emphasis",
        "Does one place draw the eye before all others?",
        _signals("-Saliency entropy", "Saliency peak share", "Sparseness"),
        "nothing stands out",
        "one place stands out",
    ),
    Criterion(
        "P5",
        "Movement",
        "Do the edges run in common directions, and obliquely?",
        _signals("Leading direction", "Slant", "Obliqueness", "Coherence", "Anisotropy"),
        "no direction leads",
        "a direction leads",
        aimed=_signals("Leading direction"),
    ),
    Criterion(
        "P6",
        "Rhythm",
        "Do parts repeat?",
        _signals("Self-similarity (PHOG)", "Self-similarity (CNN)", "Repetition"),
        "nothing returns",
        "parts return",
    ),
    Criterion(
        "P7",
        "Unity",
        "Do the parts belong to one whole, in detail and in colour?",
        _signals("Slope Mather", "Self-similarity (CNN)", "-Harmony width"),
        "parts of several pictures",
        "one picture",
        aimed=_signals("-Color entropy", "Self-similarity (CNN)", "-Harmony width"),
    ),
    Criterion(
        "P8",
        "Variety",
        "How differently do things run from one place to the next?",
        _signals("2nd-order EOE", "Color entropy", "Variability"),
        "alike everywhere",
        "different everywhere",
    ),
    Criterion(
        "P9",
        "Proportion",
        "How do format, dark and light divide the picture, and where do accents lie?",
        _signals("Mirror symmetry", "Aspect ratio", "Dark share", "-Thirds distance", "Power point share"),
        "tall, light, accents in the middle",
        "wide, dark, accents on the thirds",
    ),
)


@lru_cache(1)
def default() -> Rubric:
    """The sixteen criteria and, as positions that never count, Wölfflin's five pairs."""
    return Rubric("the default rubric", (*RUBRIC, *critic_cards.card("woelfflin").concepts))
