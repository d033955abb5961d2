"""Pictures in the order of their scores."""
import re
from collections.abc import Sequence

from ...shared.markdown_table import cell
from ..explain.reasons import reasons
from ..reference.distributions import Reference
from ..score.judge import Critique
from . import what_counts
from .critique_report import tradition


def order(scores: Sequence[float]) -> list[int]:
    """Places from the highest score to the lowest; equal scores keep the order they came in."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


ROWS, NEAR = 100, 12  # of the table, and of those named as close


def write(critiques: Sequence[Critique], places: Sequence[int], keep: int, reference: Reference,
          names: Sequence[str] | None = None) -> str:
    """The ranking in Markdown: what is ranked, how close the race is, and why each is where it is.

    names: one a picture, "picture 1" and so on without them."""
    names = names or [f"picture {number}" for number in range(1, len(critiques) + 1)]
    best, kept = critiques[places[0]], min(keep, len(places))
    lead = (f"**Best of {len(places)}: {names[places[0]]}** with {best.score:.1f} of 100 (95 % band "
            f"{best.low:.1f} to {best.high:.1f}). {'It is' if kept == 1 else f'The first {kept} are'} kept.")
    what = (f"Judged {best.rubric.manner}, each measured in the pixels and placed among {tradition(reference)}. A rank "
            "is a position in that tradition, not beauty.")
    rows = ["| rank | picture | score | strongest reason |", "|---:|---:|---:|---|"]
    rows += [f"| {rank} | {cell(_short(names[place]))} | {critiques[place].score:.1f} | "
             f"{_first_reason(critiques[place])} |" for rank, place in enumerate(places[:max(kept, ROWS)], 1)]
    more = len(places) - max(kept, ROWS)
    left_out = what_counts.left_out(best.rubric, reference)
    return "\n\n".join([lead, what, *left_out, *_close(critiques, places, kept, names, reference), "\n".join(rows),
                        *([f"And {more} more; scores has all of them."] if more > 0 else [])])


def _short(name: str) -> str:
    """The number of a picture of a batch, the name of a file."""
    return re.sub(r"^picture (\d+)$", r"\1", name)


def _close(critiques, places, kept, names, reference) -> list[str]:
    """A sentence where pictures that were left out lie within the band of the last one kept."""
    last = critiques[places[kept - 1]]
    near = [names[place] for place in places[kept:] if critiques[place].score >= last.low]
    if not near:
        return []
    rest = f" and {len(near) - NEAR} more" if len(near) > NEAR else ""
    return [f"Within the band of the last one kept: {', '.join(near[:NEAR])}{rest}. Another sample of "
            f"{reference.kind} could have put them first."]


def _first_reason(critique: Critique) -> str:
    return reasons(critique)[0]
