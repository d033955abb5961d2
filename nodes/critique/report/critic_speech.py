"""A critic speaks: a short critique in a theorist's own terms, each claim with its measure and its place."""
from collections.abc import Mapping
from typing import NamedTuple

from ..explain.phrases import OF_COLOUR, phrase
from ..explain.picture_kind import colourless
from ..explain.reasons import CLOSE, COMPARED, comparison, reading_of
from ..rubric.criteria import Criterion
from ..score.judge import Critique, Position, Verdict

WORDS = 150
GATHERED = ("Homogeneity", "1st-order EOE")  # less of them is more in some places, or in one direction
APART = 1 / 3  # of the way from the middle to an end: from here on a picture is said to stand at it
OPPOSED = 0.5  # of that way to either end: from here on two measures of a concept are said to part
LEAST = 2  # claims: with fewer, what lies in the middle is told as well


class Concept(NamedTuple):
    """A criterion as it is told: how far the picture is from the middle to an end, -1 .. 1, and each of its columns
    that has something to say. `reading` is what the report calls its place; `aimed` are the columns of which a middling
    amount is asked, so that much and little of them are the same end; `bare` is set where its colour says nothing."""
    criterion: Criterion
    lean: float
    columns: dict[str, float]
    reading: str
    aimed: frozenset[str] = frozenset()
    bare: bool = False

    @property
    def clear(self) -> bool:
        return abs(self.lean) >= APART

    @property
    def parted(self) -> bool:
        """Whether it is in the middle only because its measures say opposite things, or its colour nothing."""
        if self.clear:
            return False
        leans = [lean for column, lean in self.columns.items() if column not in self.aimed] or [0.0]
        low, high = min(leans) <= -OPPOSED, max(leans) >= OPPOSED
        return low or high if self.bare else low and high

    @property
    def telling(self) -> str:
        """The column that says most for the end that the picture is nearer to; one that is aimed at only where no
        other says it."""
        most = max if self.lean >= 0 else min
        own = {column: lean for column, lean in self.columns.items() if column not in self.aimed}
        says = own and abs(most(own.values())) >= APART and (most(own.values()) >= 0) == (self.lean >= 0)
        return most(own if says else self.columns, key=self.columns.get)


def speech(critique: Critique, places: Mapping[str, str]) -> str:
    """At most WORDS words of Markdown. `places` says where a column lies, "above on the left"; empty for nowhere.

    The concepts that move the score most come first; of a card of nothing but positions those furthest from the middle.
    What lies in the middle is only named, unless hardly anything else can be said.
    """
    concepts = _concepts(critique)
    told = [*(each for each in concepts if each.clear), *(each for each in concepts if each.parted)]
    usual = [each for each in concepts if each not in told]
    told += usual[:max(0, LEAST - len(told))]
    said = [_opening(critique)]
    for claim in _once_in_full([_claim(concept, critique, places) for concept in told]):
        if _words(said) + len(claim.split()) > WORDS:
            break
        said.append(claim)
    names = "; ".join(each.criterion.name for each in usual if each not in told)
    rest = [f"In the middle: {names}."] if names else []
    return "\n\n".join([*said, *(rest if _words([*said, *rest]) <= WORDS else [])])


def _once_in_full(claims: list[str]) -> list[str]:
    """The claims with what the picture is compared with named once, and "them" from then on."""
    if not claims:
        return []
    before, full, after = claims[0].partition(COMPARED)
    return [before + full + after.replace(COMPARED, "them"),
            *(each.replace(COMPARED, "them") for each in claims[1:])]


def _opening(critique: Critique) -> str:
    return f"**{critique.rubric.title[:1].upper()}{critique.rubric.title[1:]}.** {critique.rubric.thesis}".rstrip()


def _concepts(critique: Critique) -> list[Concept]:
    """What can be told, the most telling first; nothing of colour where there is none."""
    found = [_counted(verdict, critique)
             for verdict in sorted(critique.counted, key=lambda verdict: -abs(verdict.contribution))]
    found += [_between(position, critique)
              for position in sorted(critique.positions, key=lambda position: -abs(position.place or 0))
              if position.place is not None]
    unseen = OF_COLOUR if colourless(critique.measures) else frozenset()
    seen = [each._replace(columns={column: lean for column, lean in each.columns.items() if column not in unseen},
                          bare=not unseen.isdisjoint(each.columns)) for each in found]
    return [each for each in seen if each.columns]


def _counted(verdict: Verdict, critique: Critique) -> Concept:
    columns = {signal.column: reading_of(verdict, signal).of(signal.place(critique.percentiles[signal.column])) / 50 - 1
               for signal in verdict.used}
    aimed = frozenset(signal.column for signal in verdict.used if reading_of(verdict, signal).kind == "target")
    return Concept(verdict.criterion, verdict.points / 50 - 1, columns, f"{verdict.points:.0f} of 100", aimed)


def _between(position: Position, critique: Critique) -> Concept:
    columns = {signal.column: signal.place(critique.percentiles[signal.column]) / 50 - 1
               for signal in position.criterion.signals if signal.column in critique.percentiles}
    return Concept(position.criterion, position.place, columns, f"{position.place:+.2f}")


def _claim(concept: Concept, critique: Critique, places: Mapping[str, str]) -> str:
    """A concept in words: at which end the picture stands, by which measure; or which two hold each other."""
    opening = f"**{concept.criterion.name}**, {concept.reading}:"
    if concept.parted and concept.bare:
        most = max(concept.columns, key=lambda column: abs(concept.columns[column]))
        return f"{opening} without colour. {_measured(most, critique, places)}."
    if concept.parted:
        more, less = (pick(concept.columns, key=concept.columns.get) for pick in (max, min))
        return (f"{opening} its measures part. {_measured(more, critique, places)}, but "
                f"{_lower(_measured(less, critique, places))}.")
    if not concept.clear:
        return f"{opening} in the middle. {comparison(concept.telling, critique)}."
    low, high = concept.criterion.ends
    return (f"{opening} {high if concept.lean > 0 else low}. "
            f"{_measured(concept.telling, critique, places)}.")


def _measured(column: str, critique: Critique, places: Mapping[str, str]) -> str:
    """How a column compares, and where most of it lies."""
    compared = comparison(column, critique).partition("; usual ")[0]
    compared += "" if compared.endswith(")") else ")"
    return compared + (f", strongest {places[column]}" if places.get(column) and _placed(column, critique) else "")


def _placed(column: str, critique: Critique) -> bool:
    """Whether it is of something that lies somewhere, and says not yet where: of much, or of little where little is
    gathered."""
    if "{" in phrase(column).more:
        return False
    position = critique.percentiles[column]
    return position < 50 - CLOSE if column in GATHERED else position > 50 + CLOSE


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]


def _words(said: list[str]) -> int:
    return sum(len(each.split()) for each in said)
