"""What kind of picture it is, as far as that changes how the critique is to be read, from its measures alone."""
from collections.abc import Mapping

from ..reference.distributions import FULL, OWN_SIDE, RESIZED, Reference, paintings
from ..score.judge import Critique
from .phrases import called

SAME = 0.5  # of L*, a* or b*: a spread that no eye sees
GREY = 2.0  # of Hasler and Suesstrunk's colourfulness: below it colour is what rounding left of it
FAINT = 5.0  # of L*, a* and b*: spreads below it are of nearly one colour
NIGHT = 20.0  # of L*, on average
GROUND, FEW = 0.33, 0.85  # shares of one colour in a picture on a flat ground, and of eight in a graphic
FIELDS, TEXTURE, EDGES = 0.45, 0.03, 0.025  # of a graphic: the least of smooth fields and of edges, the most of texture
RARE = 0.25  # of the pictures of a reference: what fewer have is unusual among them
RAGGED = 0.05  # compactness: strokes, not a mass
PAPER, STROKES = 75.0, 0.3  # L* of a drawing on average, and the most that its strokes cover
AS_LITTLE = ("so that a low score says no more than that. Hold it against a reference of its own kind, or ask for what "
             "you want by a rubric.")


def nothing(measures: Mapping[str, float]) -> str:
    """A sentence where a picture is of one tone and colour throughout; empty where it is not, or is not known."""
    if any(measures.get(column, 1) >= SAME for column in ("RMS contrast", "std a channel", "std b channel (Lab)")):
        return ""
    lightness = measures.get("mean L channel", 50)
    grey = measures.get("Colorfulness", 0) < GREY
    tone = "black" if lightness < 2 else "white" if lightness > 98 else "one grey" if grey else "one colour"
    return f"There is nothing in this picture: it is {tone} throughout."


def colourless(measures: Mapping[str, float]) -> bool:
    """Whether what colour there is is what rounding left."""
    return measures.get("Colorfulness", GREY) < GREY


def kinds(measures: Mapping[str, float], among: Reference | None = None,
          critique: Critique | None = None) -> list[str]:
    """Sentences on the kind of picture: what it is, what that means for the reading among these pictures (None: the
    paintings) by that critique (None: by the default rubric), and what to use instead."""
    among = among or paintings()
    empty = nothing(measures)
    if empty:
        return [f"{empty} No measure says anything about it, whatever number it has."]
    found = [*_of_colour(measures, among), *_of_make(measures, among)]
    side = measures.get(OWN_SIDE, FULL)
    if side < among.side:
        less = detail_counts(critique, among.part_of(side))
        found.append(f"A small copy: its longer side of {side:.0f} pixels is enlarged to {FULL}. "
                     f"{called('Slope Redies')}, which a small copy moves by what it has lost or sharpened, {less}; "
                     "other measures of texture, shown only, move too. Give a larger copy, or a reference of pictures "
                     "of this size.")
    return found


def detail_counts(critique: Critique | None, part: float) -> str:
    """What RESIZED do in the score of a small copy, of which the default rubric counts a `part`, 0 to 1."""
    if critique is None or critique.rubric.plain:
        return "counts less" if part else "does not count"
    using = [(verdict.criterion, signal) for verdict in critique.counted for signal in verdict.used
             if signal.column in RESIZED]
    if not using:
        return "does not count"
    asked = any(criterion.asked or criterion.aiming or signal.weight for criterion, signal in using)
    return "counts, as the rubric asks for it" if asked else "counts less"


def _of_colour(measures, among: Reference) -> list[str]:
    if _faint(measures):
        extreme = "places among the " + among.kind + " are extreme for that reason alone"
        return ["Nearly one colour: what is measured is the little that differs from it, and " + (
            f"most {extreme}." if among.is_paintings else f"{extreme} where these have more of it.")]
    coloured = among.share_from("Colorfulness", GREY)
    if colourless(measures) and (coloured is None or coloured > 0.5):
        return ["No colour: every measure of colour says this one thing. Leave them out with `Colour richness=0; "
                "Colour harmony=0; Contrast=0`, or compare it with a reference of pictures without colour."]
    return []


def _of_make(measures, among: Reference) -> list[str]:
    found = ["As dark as a night piece: it is dark nearly throughout, so that its few lights are what weighs, and what "
             "is said of light and dark rests on them."] if measures.get("mean L channel", 100.0) < NIGHT else []
    if _faint(measures):  # then one colour covers it, whatever it shows
        return found
    ground = measures.get("Ground share", 0.0)
    if ground >= GROUND and not found:
        found.append(f"{_on_ground(measures)}: one colour covers {ground:.0%} of it."
                     + _few(among, "Ground share", GROUND, "have such a ground"))
    elif _graphic(measures):
        fields = measures["Smooth share"]
        found.append(f"A graphic in smooth fields: flat or evenly graded colour fills {fields:.0%} of it, with clean "
                     "edges and next to no texture." + _few(among, "Smooth share", FIELDS, "are as smooth"))
    return found


def _few(among: Reference, column: str, least: float, like_it: str) -> str:
    """A sentence where few pictures of the reference are like it, and a low score therefore says little."""
    share = among.share_from(column, least)
    few = among.is_paintings if share is None else share < RARE
    return f" Few {among.kind} {like_it}, {AS_LITTLE}" if few else ""


def _on_ground(measures) -> str:
    """What stands on a flat ground, as far as it can be told."""
    strokes = measures.get("mean L channel", 0) >= PAPER and measures.get("Dark share", 1) <= STROKES
    drawn = measures.get("Colorfulness", 99) < GREY and measures.get("Compactness", 1) < RAGGED
    if strokes and drawn:
        return "A line drawing"
    # A fog has few colours too, and grain everywhere.
    flat = measures.get("Few colours", 0.0) >= FEW and measures.get("Smooth share", 1.0) >= FIELDS
    return "A flat graphic on a ground" if flat or _graphic(measures) else "On a flat ground"


def _graphic(measures) -> bool:
    """Whether it is made of flat or evenly graded fields with edges between them, and of nothing else."""
    return (measures.get("Smooth share", 0.0) >= FIELDS and measures.get("Edge share", 0.0) >= EDGES
            and measures.get("Texture share", 1.0) <= TEXTURE)


def _faint(measures) -> bool:
    return all(measures.get(column, FAINT) < FAINT
               for column in ("RMS contrast", "std a channel", "std b channel (Lab)"))
