"""The everyday names of the measured columns, and what less and more of each than elsewhere mean.

This is the one table of names: sentences, tables, charts and docs/measures.md call a column as it says.

A sentence compares: "more is drawn than in 92 % of ...". It then says no more than the percentile does, whatever the
picture and whatever it is compared with. What needs a direction (where the weight lies, and of which tone it is) is
read from the measures themselves, see `compared`.
"""
from collections.abc import Mapping
from typing import NamedTuple


class Phrase(NamedTuple):
    """The everyday name of a column, as in a sentence, and what follows from less and from more of it; both end before
    "than"."""
    name: str
    less: str
    more: str


def _amount(of: str) -> Phrase:
    return Phrase(of, f"there is less {of}", f"there is more {of}")


PHRASES = {
    "Edge density": Phrase("amount of edges", "less is drawn", "more is drawn"),
    "1st-order EOE": Phrase("variety of edge directions", "fewer directions rule the edges, more firmly",
                            "edges run more evenly in all directions"),
    "Homogeneity": Phrase("evenness of the masses", "the masses are spread less evenly",
                          "the masses are spread more evenly"),
    "Color entropy": Phrase("variety of hues", "there are fewer hues", "its hues share the room more evenly"),
    "mean S channel": Phrase("colour strength", "the colours are more muted", "the colours are more saturated"),
    "std a channel": Phrase("green-to-red variety", "the colours lie closer together between green and red",
                            "the colours lie further apart between green and red"),
    "std b channel (Lab)": Phrase("blue-to-yellow variety",
                                  "the colours lie closer together between blue and yellow",
                                  "the colours lie further apart between blue and yellow"),
    "RMS contrast": Phrase("light-dark contrast", "light and dark lie closer together",
                           "light and dark lie further apart"),
    "Luminance entropy": Phrase("variety of tones", "fewer steps lie between its darkest and its lightest",
                                "more steps lie between its darkest and its lightest"),
    "Slope Redies": Phrase("fine detail", "there is less fine detail beside broad forms",
                           "there is more fine detail beside broad forms"),
    "DCM distance": Phrase("off-centre weight",
                           "the centre of {weight} lies nearer to the middle",
                           "the centre of {weight} lies {place}, further from the middle"),
    "Balance": Phrase("imbalance of the parts", "{imbalance}, and its halves, bands and diagonals differ less",
                      "{imbalance}, and its halves, bands and diagonals differ more"),
    "Tilt": Phrase("one-sided weight", "{weight} leans less to any side", "{weight} leans more {lean}"),
    "Mirror symmetry": Phrase("mirrored dark", "dark that meets its mirror image covers less of the "
                              "picture", "dark that meets its mirror image covers more of the picture"),
    "std S channel": Phrase("muted-to-strong variety", "the saturation changes less",
                            "muted and saturated colours lie further apart"),
    "2nd-order EOE": Phrase("independence of edges", "edges run more alike over the picture",
                            "edges run more independently of each other"),
    "2D Fractal dimension": Phrase("broken outlines", "the outlines are smoother",
                                   "the outlines are more broken"),
    "3D Fractal dimension": Phrase("ruggedness of the light", "the light is smoother",
                                   "the light is more rugged"),
    "Complexity": Phrase("complexity", "less changes from point to point", "more changes from point to point"),
    "Fourier sigma": Phrase("uneven sizes of detail", "detail is shared more evenly between the scales",
                            "some scales of detail stand out more"),
    "Slope Mather": Phrase("fine detail, second reading", "there is less fine detail beside broad forms",
                           "there is more fine detail beside broad forms"),
    "Slope Spehar": Phrase("fine detail, third reading",
                           "there is less fine detail beside broad forms",
                           "there is more fine detail beside broad forms"),
    "Anisotropy": Phrase("gathering of the edges",
                         "edges are spread more evenly over places and directions",
                         "edges are gathered more in some places and directions"),
    "Self-similarity (PHOG)": Phrase("parts like the whole", "the parts are less like the whole",
                                     "the parts are more like the whole"),
    "Self-similarity (CNN)": Phrase("likeness of the parts, by filters", "the parts differ more",
                                    "the parts are more alike"),
    "Sparseness": Phrase("uneven answers, by filters", "the filters' answers vary less",
                         "the filters' answers vary more"),
    "Variability": Phrase("difference from place to place, by filters", "places differ less", "places differ more"),
    "CNN symmetry left-right": Phrase("left-right likeness, by filters", "the halves differ more",
                                      "the halves are more alike"),
    "CNN symmetry up-down": Phrase("top-bottom likeness, by filters", "top and bottom differ more",
                                   "top and bottom are more alike"),
    "CNN symmetry left-right & up-down": Phrase("upside-down likeness, by filters",
                                                "the picture is less like itself turned by half a turn",
                                                "the picture is more like itself turned by half a turn"),
    "Aspect ratio": Phrase("width for its height", "the format is taller for its width",
                           "the format is wider for its height"),
    "mean L channel": Phrase("lightness", "it is darker", "it is lighter"),
    "DCM x position": Phrase("weight to the left", "{weight} lies further to the right",
                             "{weight} lies further to the left"),
    "DCM y position": Phrase("height of the weight", "{weight} lies lower", "{weight} lies higher"),
    "Lean right": Phrase("weight on the right", "the left half has more of {weight}",
                         "the right half has more of {weight}"),
    "Lean down": Phrase("weight below", "the upper half has more of {weight}",
                        "the lower half has more of {weight}"),
    "Rim weight": Phrase("weight at the rim", "the middle has more of {weight}", "the rim has more of {weight}"),
    "Light weighs": Phrase("tone that weighs", "dark is the weight", "light is the weight"),
    "Ground share": Phrase("share of the commonest colour", "the commonest colour covers less",
                           "the commonest colour covers more"),
    "Smooth share": Phrase("smooth areas", "less of it is flat or evenly graded",
                           "more of it is flat or evenly graded"),
    "Texture share": Phrase("textured areas", "less of it is texture", "more of it is texture"),
    "Edge share": Phrase("edges between areas", "edges between fields cover less",
                         "edges between fields cover more"),
    "Few colours": Phrase("share of the eight commonest colours", "its commonest colours cover less",
                          "its commonest colours cover more"),
    "mean a channel": Phrase("lean to red", "it leans more to green", "it leans more to red"),
    "mean b channel (Lab)": Phrase("lean to yellow", "it leans more to blue", "it leans more to yellow"),
    "Compactness": Phrase("compactness of the dark shape", "the dark shape is more ragged",
                          "the dark shape is more compact"),
    "Colorfulness": Phrase("strength and variety of colour", "it is less colourful", "it is more colourful"),
    "Harmony width": Phrase("room that the hues need", "the hues fit into less of the hue circle",
                            "the hues need more of the hue circle"),
    "Otsu separability": Phrase("clear split of light and dark", "more greys lie between light and dark",
                                "light and dark part more clearly"),
    "Permutation entropy": Phrase("disorder from dot to dot", "neighbouring pixels are in better order",
                                  "neighbouring pixels are in less order"),
    "Statistical complexity": Phrase("pattern from dot to dot", "neighbouring pixels have less structure",
                                     "neighbouring pixels have more structure"),
    "Symmetry left-right": Phrase("left-right likeness, dot by dot", "left and right differ more",
                                  "left and right are more alike"),
    "Symmetry up-down": Phrase("top-bottom likeness, dot by dot", "top and bottom differ more",
                               "top and bottom are more alike"),
    "Likeness left-right": Phrase("left-right likeness", "left and right differ more",
                                  "left and right are more alike"),
    "Likeness up-down": Phrase("top-bottom likeness", "top and bottom differ more",
                               "top and bottom are more alike"),
    "Likeness half-turn": Phrase("upside-down likeness",
                                 "the picture is less like itself turned by half a turn",
                                 "the picture is more like itself turned by half a turn"),
    "Warm-cold contrast": Phrase("warm-cold contrast", "warm and cold lie closer together",
                                 "warm and cold lie further apart"),
    "Complementary contrast": Phrase("opposite-hue contrast", "opposite hues answer each other less",
                                     "opposite hues answer each other more"),
    "Saliency entropy": Phrase("spread of what stands out", "what stands out is gathered more",
                               "what stands out is spread more"),
    "Saliency peak share": Phrase("pull of the strongest places", "the strongest places pull less",
                                  "the strongest places pull more"),
    "Thirds distance": Phrase("distance of accents from the thirds",
                              "the middle of the accents lies nearer to a crossing of the thirds",
                              "the middle of the accents lies further from the crossings of the thirds"),
    "Power point share": Phrase("accents at the crossings of the thirds",
                                "fewer accents lie at the crossings of the thirds",
                                "more accents lie at the crossings of the thirds"),
    "Coherence": Phrase("agreement of neighbouring edges", "neighbouring edges agree less",
                        "neighbouring edges agree more"),
    "Leading direction": Phrase("leading direction", "one direction rules the edges less",
                                "one direction rules the edges more"),
    "Slant": Phrase("slope to one side", "slanting edges pull less to one side",
                    "slanting edges pull more to one side"),
    "Obliqueness": Phrase("sloping edges", "edges are more level and plumb", "edges are more oblique"),
    "Repetition": Phrase("repetition", "less returns at a distance", "more returns at a distance"),
    "Dark share": Phrase("share of dark", "dark covers less", "dark covers more"),
    "Image size (pixels)": Phrase("picture size", "it is smaller", "it is larger"),
    "mean R channel": _amount("red light"),
    "mean G channel": _amount("green light"),
    "mean B channel (RGB)": _amount("blue light"),
    "std R channel": Phrase("contrast in red light", "red light changes less", "red light changes more"),
    "std G channel": Phrase("contrast in green light", "green light changes less", "green light changes more"),
    "std B channel": Phrase("contrast in blue light", "blue light changes less", "blue light changes more"),
    "std L channel": Phrase("spread of lightness", "light and dark lie closer together",
                            "light and dark lie further apart"),
    "mean H channel": Phrase("average hue", "the mean hue comes earlier on the circle from red over green to blue",
                             "the mean hue comes later on the circle from red over green to blue"),
    "std H channel": Phrase("spread of hues", "the hues lie closer together", "the hues lie further apart"),
    "mean V channel": Phrase("brightness", "the colours are darker", "the colours are brighter"),
    "std V channel": Phrase("contrast of brightness", "the brightness changes less", "the brightness changes more"),
    "Mean warmth": Phrase("warmth", "the colours are colder", "the colours are warmer"),
    **{f"Harmony {template}": Phrase(f"hues in {figure}", f"the hues fit less well into {figure}",
                                     f"the hues fit better into {figure}")
       for template, figure in (
           ("i", "one narrow group"), ("V", "one wide group"), ("L", "two groups at a right angle"),
           ("mirrored L", "two groups at the other right angle"), ("I", "two narrow opposite groups"),
           ("T", "half of the circle"), ("Y", "a wide group and a narrow opposite one"),
           ("X", "two wide opposite groups"))},
    "learned": Phrase("learned score", "its head scores it lower", "its head scores it higher"),
    "Depth spread": Phrase("spread of near and far", "the depths lie closer together",
                           "the depths lie further apart"),
    **{f"{by} {what}": Phrase(f"{said} lost with {distance}", f"{said} falls less with {distance}",
                              f"{said} falls more with {distance}")
       for by, distance in (("Aerial", "distance"), ("Height", "height"))
       for what, said in (("contrast", "contrast"), ("saturation", "colour strength"), ("warmth", "warmth"))},
}

FACTS = (
    {"Color entropy", "std H channel", "Harmony width", "Complementary contrast",
     *(f"Harmony {name}" for name in ("i", "V", "L", "mirrored L", "I", "T", "Y", "X"))},
    {"mean S channel", "Colorfulness"},
    {"std a channel", "std b channel (Lab)", "Warm-cold contrast"},
    {"RMS contrast", "std L channel", "std V channel", "Otsu separability", "Luminance entropy"},
    {"Edge density", "Complexity"},
    {"1st-order EOE", "2nd-order EOE", "Anisotropy", "Coherence", "Obliqueness",
     "Leading direction", "Slant"},
    {"DCM distance", "DCM x position", "DCM y position", "Balance", "Tilt", "Lean right", "Lean down"},
    {"Slope Redies", "Slope Mather", "Slope Spehar", "Fourier sigma"},
    {"Likeness left-right", "Symmetry left-right", "CNN symmetry left-right"},
    {"Mirror symmetry", "Dark share", "mean L channel"},
)
"""Columns that tell of one fact: a reader is told it once."""

OF_COLOUR = frozenset({"Color entropy", "mean S channel", "std S channel", "mean a channel", "std a channel",
                       "mean b channel (Lab)", "std b channel (Lab)", "Colorfulness"})
"""Columns of critics that say nothing of a picture without colour."""

SPOKEN_OF = frozenset({"DCM x position", "DCM y position", "Lean right", "Lean down", "Rim weight", "Light weighs",
                       "RMS contrast", "std a channel", "std b channel (Lab)", "mean L channel", "Colorfulness"})
"""What sentences read of a picture beside the column that they are about."""

LEANS = 5.0  # % of the weight: from here on a side, the rim or the middle outweighs
MIDDLE = 0.01  # of a side: nearer than this the centre of mass is in the middle
PARTS = {"Lean right": ("right half", "left half"), "Lean down": ("lower half", "upper half"),
         "Rim weight": ("rim", "middle")}
TILTED = 0.4  # of the larger part of a direction: from here on the smaller one is named too


def phrase(column: str) -> Phrase:
    """The words of a column; a column without its own is called by its name."""
    return PHRASES.get(column) or Phrase(column, f"{column} is lower", f"{column} is higher")


def fact(column: str) -> frozenset[str]:
    """The columns that tell of the same fact, the column itself among them."""
    return next((frozenset(columns) for columns in FACTS if column in columns), frozenset({column}))


def compared(column: str, more: bool, measures: Mapping[str, float]) -> str:
    """What more, or less, of a column than elsewhere means in a picture with these measures; it ends before "than"."""
    words = phrase(column).more if more else phrase(column).less
    return words.format(weight=tone(measures), place=place(measures), lean=lean(measures),
                        imbalance=imbalance(measures)) if "{" in words else words


def tone(measures: Mapping[str, float]) -> str:
    """What weighs in a picture: most of a dark picture is dark, so that its light is the weight."""
    light = measures.get("Light weighs")
    return "the weight" if light is None else "the weight of its lights" if light else "the weight of its darks"


def place(measures: Mapping[str, float]) -> str:
    """Where the centre of mass lies: "high on the right"."""
    if "DCM x position" not in measures or "DCM y position" not in measures:
        return "off the middle"
    x, y = -measures["DCM x position"], -measures["DCM y position"]
    reach = max(abs(x), abs(y))
    if reach < MIDDLE:
        return "all but in the middle"
    parts = ["high" if y < 0 else "low"] if abs(y) >= TILTED * reach else []
    return " ".join([*parts, *(["on the right" if x > 0 else "on the left"] if abs(x) >= TILTED * reach else [])])


def lean(measures: Mapping[str, float]) -> str:
    """Where the weight leans to: "to the right and down"."""
    if "Lean right" not in measures or "Lean down" not in measures:
        return "to a side"
    right, down = measures["Lean right"], measures["Lean down"]
    reach = max(abs(right), abs(down))
    sides = [*(["to the right" if right > 0 else "to the left"] if abs(right) >= TILTED * reach else []),
             *(["down" if down > 0 else "up"] if abs(down) >= TILTED * reach else [])]
    return " and ".join(sides) if reach > 0 else "along a diagonal"


def imbalance(measures: Mapping[str, float]) -> str:
    """What outweighs what, and of which tone: a side, the rim or the middle, or none of them."""
    weighed = {name: measures.get(name, 0.0) for name in ("Lean right", "Lean down", "Rim weight")}
    most = max(weighed, key=lambda name: abs(weighed[name]))
    if abs(weighed[most]) < LEANS:
        return "no side outweighs the other"
    more, less = PARTS[most] if weighed[most] > 0 else PARTS[most][::-1]
    light = measures.get("Light weighs")
    if light is None:
        return f"the {more} outweighs the {less}"
    return f"the {'lights' if light else 'darks'} of the {more} outweigh those of the {less}"


def called(column: str) -> str:
    """The everyday name with the column's own in brackets, as a sentence begins: "Off-centre weight (DCM distance)"."""
    return upper(named(column)) if column in PHRASES else column


def named(column: str) -> str:
    """The same within a sentence; the name alone where both are the same word."""
    name = phrase(column).name
    return name if name.casefold() == column.casefold() else f"{name} ({column})"


def upper(words: str) -> str:
    """Words as a sentence begins."""
    return words[:1].upper() + words[1:]


def digits(value: float) -> str:
    """A measure with four digits; what is zero but for rounding as 0."""
    return "0" if abs(value) < 1e-5 else f"{value:.4g}"


def share(percent: float) -> str:
    """A percentage of pictures that ends in "of": "all of", "more than 99 % of", "98 % of"."""
    if percent >= 100:
        return "all of"
    return "more than 99 % of" if percent > 99.5 else f"{percent:.0f} % of"
