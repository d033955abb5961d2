"""Pictures in the order of their scores."""
from collections.abc import Sequence

from .explain import reasons
from .reference import Reference
from .report import tradition
from .score import Critique


def order(scores: Sequence[float]) -> list[int]:
    """Places from the highest score to the lowest; equal scores keep the order they came in."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def write(critiques: Sequence[Critique], places: Sequence[int], keep: int, reference: Reference) -> str:
    """The ranking in Markdown: what is ranked, how close the race is, and why each is where it is."""
    best, kept = critiques[places[0]], min(keep, len(places))
    lead = (f"**Best of {len(places)}: picture {places[0] + 1}** with {best.score:.1f} of 100 (95 % band "
            f"{best.low:.1f} to {best.high:.1f}). {'It is' if kept == 1 else f'The first {kept} are'} kept.")
    what = (f"Judged {best.rubric.manner}, each measured in the pixels and placed among {tradition(reference)}. A rank "
            "is a position in that tradition, not beauty.")
    rows = ["| rank | picture | score | strongest reason |", "|---:|---:|---:|---|"]
    rows += [f"| {rank} | {place + 1} | {critiques[place].score:.1f} | {_first_reason(critiques[place])} |"
             for rank, place in enumerate(places, 1)]
    return "\n\n".join([lead, what, *_close(critiques, places, kept), "\n".join(rows)])


def _close(critiques, places, kept) -> list[str]:
    """A sentence where pictures that were left out lie within the band of the last one kept."""
    last = critiques[places[kept - 1]]
    near = [str(place + 1) for place in places[kept:] if critiques[place].score >= last.low]
    if not near:
        return []
    return [f"Within the band of the last one kept: picture {', '.join(near)}. Another sample of paintings could have "
            "put them first."]


def _first_reason(critique: Critique) -> str:
    return reasons(critique)[0]
