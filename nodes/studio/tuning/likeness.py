"""How near a picture comes to what it should stay close to: a style, a target picture, or what a critic asks for."""
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ...critique.examination import measured
from ...critique.reference.distributions import SCORED, Reference, fit
from ...critique.rubric.criteria import Rubric
from ...critique.score.judge import judge, needed

STYLE = tuple(column for column in SCORED if column != "2nd-order EOE")  # it takes as long as all the others together


class Likeness(NamedTuple):
    """name: what is meant, for the report; columns: what has to be measured; of: measures -> 0..100."""
    name: str
    columns: frozenset[str]
    of: Callable[[dict[str, float]], float]


def style(own: Reference, tradition: Reference) -> Likeness:
    """100 where every measure is the median of `own`, 50 where all are one middle half of the tradition away.

    Distances are in units of what lies between the quarters of the tradition, column by column, so that they go on
    where percentiles end. Raises ValueError where the two share no column."""
    columns = [column for column in STYLE if column in own.quantiles and column in tradition.quantiles]
    if not columns:
        raise ValueError(f"reference: expected one with some of {', '.join(STYLE)}, got none of them in {own.name}")
    middles = {column: own.quantiles[column][50] for column in columns}
    widths = {column: _middle_half(tradition.quantiles[column]) for column in columns}
    shares = {column: tradition.shares.get(column, 1 / len(columns)) for column in columns}

    def near(measures: dict[str, float]) -> float:
        parts = [shares[column] / (1 + abs(measures[column] - middles[column]) / widths[column]) for column in columns]
        return 100 * sum(parts) / sum(shares.values())

    return Likeness(own.name, frozenset(columns), near)


def _middle_half(quantiles: list[float]) -> float:
    return max(quantiles[75] - quantiles[25], 1e-9)


def target(images: Tensor, tradition: Reference) -> Likeness:
    """The style of IMAGE [B, H, W, C]: their medians. Raises ValueError where they cannot be measured."""
    try:
        rows = [measured(image, STYLE) for image in images.split(1)]
    except ValueError as error:
        raise ValueError(str(error).replace("images:", "target:", 1)) from None
    table = torch.tensor([[row[column] for column in STYLE] for row in rows], dtype=torch.float64)
    called = "the target picture" if len(images) == 1 else f"the {len(images)} target pictures"
    return style(fit(called, "", STYLE, table, STYLE), tradition)


def critic(rubric: Rubric, tradition: Reference) -> Likeness:
    """The score under a critic's rubric."""
    return Likeness(f"what counts {rubric.title}", frozenset(needed(tradition, rubric)),
                    lambda measures: judge(measures, tradition, rubric).score)
