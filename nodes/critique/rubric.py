"""The criteria of the critique and the measures that answer them: elements of art (E) and principles of design (P).

Every measure answers one criterion, and a criterion weighs what its measures weigh together; measures that say the
same thing share their weight (see `reference.independent_shares`).
"""
from typing import NamedTuple


class Criterion(NamedTuple):
    """One question a teacher would ask, with the columns of the published tables that answer it."""
    id: str
    name: str
    question: str
    columns: tuple[str, ...]


class Reading(NamedTuple):
    """How a column is called in a sentence, and what little and much of it look like."""
    name: str
    little: str
    much: str


RUBRIC = (
    Criterion("E1", "Line", "How much is drawn, and in how many directions?", ("Edge density", "1st-order EOE")),
    Criterion("E2", "Shape", "How evenly are the masses spread over the picture?", ("Homogeneity",)),
    Criterion("E3", "Colour richness", "How strong and how varied is the colour?",
              ("Color entropy", "mean S channel", "std a channel", "std b channel (Lab)")),
    Criterion("E5", "Value", "How far apart are light and dark, and how many steps lie between?",
              ("RMS contrast", "Luminance entropy")),
    Criterion("E6", "Texture", "How is detail shared between coarse and fine?", ("Slope Redies",)),
    Criterion("P1", "Balance", "Where does the visual weight rest?", ("DCM distance", "Balance")),
    Criterion("P2", "Symmetry", "Does one half of the dark shape answer the other?", ("Mirror symmetry",)),
    Criterion("P3", "Contrast", "Do strong and quiet colours meet?", ("std S channel",)),
    Criterion("P8", "Variety", "How differently do edges run from one place to the next?", ("2nd-order EOE",)),
)

READINGS = {
    "Edge density": Reading("edge density", "little is drawn", "a great deal is drawn"),
    "1st-order EOE": Reading("the variety of edge directions", "a few directions rule", "all directions are alike"),
    "Homogeneity": Reading("the evenness of the masses", "the masses gather in one part", "the masses lie everywhere"),
    "Color entropy": Reading("the variety of hues", "few hues", "very many hues"),
    "mean S channel": Reading("the saturation", "muted colour", "saturated colour"),
    "std a channel": Reading("the spread from green to red", "neither green nor red stands out",
                             "greens and reds stand apart"),
    "std b channel (Lab)": Reading("the spread from blue to yellow", "neither blue nor yellow stands out",
                                   "blues and yellows stand apart"),
    "RMS contrast": Reading("the contrast of light and dark", "the values lie close together",
                            "the values lie far apart"),
    "Luminance entropy": Reading("the range of values", "few steps from dark to light",
                                 "very many steps from dark to light"),
    "Slope Redies": Reading("the slope of the spectrum", "broad forms, little fine detail", "much fine detail"),
    "DCM distance": Reading("the distance of the centre of mass from the middle", "the weight rests in the middle",
                            "the weight rests far from the middle"),
    "Balance": Reading("the imbalance of the halves", "the halves weigh the same", "one side outweighs the other"),
    "Mirror symmetry": Reading("the mirrored share of the dark shape", "little of the dark shape is mirrored",
                               "most of the dark shape is mirrored"),
    "std S channel": Reading("the contrast of saturation", "the saturation hardly changes",
                             "muted and saturated colours meet"),
    "2nd-order EOE": Reading("the independence of edges from each other", "edges run alike over the picture",
                             "edges run in unrelated directions"),
}
