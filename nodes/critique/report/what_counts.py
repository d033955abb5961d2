"""What a rubric counts, said in the report, and what has changed since workflows were saved with an older version."""
from collections.abc import Sequence

from ..explain.phrases import named
from ..reference.distributions import Reference
from ..rubric.criteria import Criterion, Rubric
from ..score.judge import starred_out

CHANGED = {
    "P1": f"Balance: asked for more or less, it is read from {named('Tilt')}; up to 0.2.0 it was read from "
          f"{named('DCM distance')} and {named('Balance')}, which also weighs the rim and the format.",
    "P2": f"Symmetry: it is read from the likeness of left and right; up to 0.2.0 it was read from "
          f"{named('Mirror symmetry')}, which follows how much of the picture is dark and now belongs to Proportion.",
    "P3": "Contrast: light and dark and colour strength speak for it and, asked for more or less, warm and cold and "
          "opposite hues as much; up to 0.2.0 colour strength alone did.",
    "P5": f"Movement: it is read from how far one direction rules the edges; up to 0.2.0 it was read from "
          f"{named('Anisotropy')}, which is higher in nearly every photograph than in any painting.",
    "P7": f"Unity: it is read from how few hues there are and, with filters, how alike the parts are; up to 0.2.0 it "
          f"was read from {named('Slope Mather')}, which follows the sharpness of a copy.",
}
READ_ANEW = frozenset("""AL2 AR1 AR3 AR6 DO1 DO4 DO5 DO7 DO8 GO1 GO5 HI2 HI3 KA2 KA3 KA5 KA7 KA8 KL2 KL3 KL4 KL6 RU2
                      RU3 RU4 RU6 RU7 WO1 WO2 WO3 WO4 WO5 WR1 WR2 WR3 WR4 WR5""".split())
"""The concepts of critics that were read from other measures up to 0.2.0."""


def notes(rubric: Rubric, pictures: Sequence, reference: Reference) -> list[str]:
    """What counts and how much, unless it is the default; what a star leaves out; and which numbers differ from those
    of an older version."""
    if rubric.plain or not pictures[0].critique.counted:
        return changed(rubric)
    return [counted(pictures[0].critique), *left_out(rubric, reference), *changed(rubric)]


def left_out(rubric: Rubric, reference: Reference) -> list[str]:
    """A sentence on the criteria that a star such as P* names and does not count; none where it counts them all."""
    can, cannot = starred_out(reference, rubric)
    if not can and not cannot:
        return []
    star = ", ".join(dict.fromkeys(f"`{each.star}`" for each in [*can, *cannot]))
    said = [f"{star} counts what the default rubric counts."]
    if can:
        said.append(f"Left out: {', '.join(each.name for each in can)}; each counts where it is named, as in "
                    f"`{can[0].name}=1`.")
    if cannot:
        said.append(f"Not known of {reference.name}: {', '.join(each.name for each in cannot)}; a reference of your "
                    "own pictures, and for some a depth map or filters, would let them count.")
    return [" ".join(said)]


def counted(critique) -> str:
    """What counts, with its share and what it is asked for: "Counts: Value (the more the better) 40 %, ..."."""
    parts = [f"{verdict.criterion.name} ({_asked(verdict)}) {100 * verdict.weight:.0f} %"
             for verdict in sorted(critique.counted, key=lambda verdict: -verdict.weight)]
    return (f"What counts: {', '.join(parts)}. A rubric changes what it names; everything else counts as before, "
            "unless it says `*=0`.")


def changed(rubric: Rubric) -> list[str]:
    """A sentence for each thing the rubric names that is read from other measures than up to 0.2.0."""
    if rubric.thesis:
        return _read_anew([each for each in rubric.criteria if each.id in READ_ANEW])
    return [CHANGED[each.id] for each in rubric.criteria if (each.asked or each.aiming) and each.weight > 0
            and each.id in CHANGED and (each.id != "P1" or each.aiming)]


def _read_anew(concepts: Sequence[Criterion]) -> list[str]:
    read, gone = ([each.name for each in concepts if bool(each.signals) == measured] for measured in (True, False))
    return [*([f"Read from other measures than up to 0.2.0: {', '.join(read)}."] if read else []),
            *([f"No longer read from measures, none of which tells it (a model can, in Vision Critic): "
               f"{', '.join(gone)}."] if gone else [])]


def _asked(verdict) -> str:
    readings = {str(signal.reading or verdict.criterion.reading) for signal in verdict.used}
    return " or ".join(sorted(readings))
