"""How the measured columns are called in sentences, and what little and much of each look like."""
from typing import NamedTuple


class Word(NamedTuple):
    """How a column is called in a sentence, and what little and much of it look like."""
    name: str
    little: str
    much: str


WORDS = {
    "Edge density": Word("edge density", "little is drawn", "a great deal is drawn"),
    "1st-order EOE": Word("the variety of edge directions", "a few directions rule", "all directions are alike"),
    "Homogeneity": Word("the evenness of the masses", "the masses gather in one part", "the masses lie everywhere"),
    "Color entropy": Word("the variety of hues", "few hues", "very many hues"),
    "mean S channel": Word("the saturation", "muted colour", "saturated colour"),
    "std a channel": Word("the spread from green to red", "neither green nor red stands out",
                          "greens and reds stand apart"),
    "std b channel (Lab)": Word("the spread from blue to yellow", "neither blue nor yellow stands out",
                                "blues and yellows stand apart"),
    "RMS contrast": Word("the contrast of light and dark", "the values lie close together",
                         "the values lie far apart"),
    "Luminance entropy": Word("the range of values", "few steps from dark to light",
                              "very many steps from dark to light"),
    "Slope Redies": Word("the slope of the spectrum", "broad forms, little fine detail", "much fine detail"),
    "DCM distance": Word("the distance of the centre of mass from the middle", "the weight rests in the middle",
                         "the weight rests far from the middle"),
    "Balance": Word("the imbalance of the halves", "the halves weigh the same", "one side outweighs the other"),
    "Mirror symmetry": Word("the mirrored share of the dark shape", "little of the dark shape is mirrored",
                            "most of the dark shape is mirrored"),
    "std S channel": Word("the contrast of saturation", "the saturation hardly changes",
                          "muted and saturated colours meet"),
    "2nd-order EOE": Word("the independence of edges from each other", "edges run alike over the picture",
                          "edges run in unrelated directions"),
    "2D Fractal dimension": Word("the fractal dimension of the outline", "smooth outlines", "broken outlines"),
    "3D Fractal dimension": Word("the fractal dimension of the light", "smooth light", "rugged light"),
    "Complexity": Word("the complexity", "little goes on", "a great deal goes on"),
    "Fourier sigma": Word("the unevenness of the spectrum", "detail is shared evenly between the scales",
                          "some scale of detail stands out"),
    "Slope Mather": Word("the slope of the spectrum of light", "broad forms, little fine detail", "much fine detail"),
    "Anisotropy": Word("the rule of some directions", "no direction leads", "some directions lead"),
    "Self-similarity (PHOG)": Word("the likeness of parts and whole", "parts differ from the whole",
                                   "parts repeat the whole"),
    "Self-similarity (CNN)": Word("the likeness of parts to the filters' eye", "parts differ", "parts are alike"),
    "Sparseness": Word("the sparseness of accents", "accents everywhere", "few strong accents"),
    "Variability": Word("the variability from place to place", "alike everywhere", "different everywhere"),
    "CNN symmetry left-right": Word("the left-right symmetry to the filters' eye", "the halves differ",
                                    "the halves are alike"),
    "Aspect ratio": Word("the format", "a tall format", "a wide format"),
    "mean L channel": Word("the lightness", "dark", "light"),
    "DCM x position": Word("the side of the weight", "the weight lies left", "the weight lies right"),
    "DCM y position": Word("the height of the weight", "the weight lies high", "the weight lies low"),
    "mean a channel": Word("the lean to red", "green rules", "red rules"),
    "mean b channel (Lab)": Word("the lean to yellow", "blue rules", "yellow rules"),
    "Compactness": Word("the compactness of the masses", "ragged masses", "compact masses"),
    "Colorfulness": Word("the colourfulness", "nearly grey", "full of colour"),
    "Harmony width": Word("the room the hues take on the circle", "few hues, close or opposite", "hues all around"),
    "Otsu separability": Word("the parting of light and dark", "greys between", "two clear tones"),
    "Permutation entropy": Word("the disorder from pixel to pixel", "smooth or ordered", "disordered"),
    "Statistical complexity": Word("the structure from pixel to pixel", "plain or random", "structured"),
    "Symmetry left-right": Word("the likeness of left and right", "the sides differ", "the sides are alike"),
    "Symmetry up-down": Word("the likeness of top and bottom", "they differ", "they are alike"),
    "Warm-cold contrast": Word("the contrast of warm and cold", "one temperature", "warm and cold meet"),
    "Complementary contrast": Word("the contrast of complementary colours", "no complements", "complements meet"),
    "Saliency entropy": Word("the spread of what stands out", "one place stands out", "everything stands out alike"),
    "Saliency peak share": Word("the pull of the strongest places", "nothing draws the eye", "a few places draw it"),
    "Thirds distance": Word("the distance of the accents from the thirds", "accents on the thirds",
                            "accents far from the thirds"),
    "Power point share": Word("the accents at the power points", "none of them there", "most of them there"),
    "Coherence": Word("the agreement of neighbouring directions", "edges cross", "edges run together"),
    "Obliqueness": Word("the share of oblique edges", "level and plumb", "oblique"),
    "Repetition": Word("the repetition", "nothing returns", "a beat returns"),
    "Dark share": Word("the share of dark", "mostly light", "mostly dark"),
    "Image size (pixels)": Word("width and height together", "small", "large"),
    "mean R channel": Word("the amount of red light", "little red light", "much red light"),
    "mean G channel": Word("the amount of green light", "little green light", "much green light"),
    "mean B channel (RGB)": Word("the amount of blue light", "little blue light", "much blue light"),
    "std R channel": Word("the contrast in red light", "red light is even", "red light comes and goes"),
    "std G channel": Word("the contrast in green light", "green light is even", "green light comes and goes"),
    "std B channel": Word("the contrast in blue light", "blue light is even", "blue light comes and goes"),
    "std L channel": Word("the contrast of light and dark", "the values lie close together",
                          "the values lie far apart"),
    "mean H channel": Word("the mean hue", "towards red and yellow", "towards blue and violet"),
    "std H channel": Word("the spread of hues", "hues close together", "hues all around the circle"),
    "mean V channel": Word("the brightness", "dark colours", "bright colours"),
    "std V channel": Word("the contrast of brightness", "the brightness hardly changes", "dark and bright meet"),
    "Slope Spehar": Word("the slope of the spectrum of light, without outliers", "broad forms, little fine detail",
                         "much fine detail"),
    "Mean warmth": Word("the warmth", "cold colours rule", "warm colours rule"),
    **{f"Harmony {template}": Word(f"the fit of the hues to {figure}", "the hues fall outside it",
                                   "the hues lie inside it")
       for template, figure in (
           ("i", "one narrow sector of the hue circle"), ("V", "one wide sector of the hue circle"),
           ("L", "a narrow sector and one at a right angle"),
           ("mirrored L", "a narrow sector and one at the other right angle"), ("I", "two narrow opposite sectors"),
           ("T", "one half of the hue circle"), ("Y", "a wide sector and a narrow one opposite"),
           ("X", "two wide opposite sectors"))},
    "CNN symmetry up-down": Word("the up-down symmetry to the filters' eye", "top and bottom differ",
                                 "top and bottom are alike"),
    "CNN symmetry left-right & up-down": Word("the symmetry under half a turn to the filters' eye",
                                              "the picture differs from itself turned", "it is alike when turned"),
    "Depth spread": Word("how the depths lie apart", "most lie at one depth", "near and far, little between"),
    **{f"{by} {what}": Word(f"the fall of {called} with {distance}", f"far things have more {of}",
                            f"far things have less {of}")
       for by, distance in (("Aerial", "distance"), ("Height", "height, taken for distance"))
       for what, called, of in (("contrast", "contrast", "contrast"), ("saturation", "saturation", "colour"),
                                ("warmth", "warmth", "warmth"))},
}


def word(column: str) -> Word:
    """The words of a column; a column without its own is called by its name."""
    return WORDS.get(column) or Word(column, "there is little of it", "there is much of it")


def called(column: str) -> str:
    """The column with what it means, where its name does not say so: "Slope Redies (the slope of the spectrum)"."""
    name = word(column).name
    return column if name.casefold().removeprefix("the ") == column.casefold() else f"{column} ({name})"


def digits(value: float) -> str:
    """A measure with four digits; what is zero but for rounding as 0."""
    return "0" if abs(value) < 1e-5 else f"{value:.4g}"


def share(percent: float) -> str:
    """A percentage of pictures that ends in "of": "all of", "more than 99 % of", "98 % of"."""
    if percent >= 100:
        return "all of"
    return "more than 99 % of" if percent > 99.5 else f"{percent:.0f} % of"
