"""A number read from what the model would say next, instead of from what it says: the expectation over its digits.

A sampled digit throws away how sure the model was. The probabilities of the ten digits, from one prefill, give the same
number every time and a spread besides (after G-Eval, Liu et al. 2023, arXiv:2303.16634)."""
from typing import NamedTuple

import torch
from torch import Tensor

from ...shared.vision_model import Eye

DIGITS = 10
SURE = 0.5


class Reading(NamedTuple):
    """`mean` 0..9 of the digits' probabilities, their standard deviation, and the share of all words they have."""
    mean: float
    spread: float
    mass: float

    @property
    def points(self) -> float:
        """0..100."""
        return 100 * self.mean / (DIGITS - 1)

    @property
    def place(self) -> float:
        """-1..1, between two poles."""
        return 2 * self.mean / (DIGITS - 1) - 1

    @property
    def is_answer(self) -> bool:
        """False where the model would rather say something that is no digit."""
        return self.mass >= SURE


def digit_ids(eye: Eye) -> list[int]:
    """The tokens of 0 to 9. Raises ValueError where the tokenizer does not keep digits apart."""
    ids = [eye.word_id(str(digit)) for digit in range(DIGITS)]
    if len(set(ids)) < DIGITS:
        raise ValueError(f"clip: expected a tokenizer with a token for every digit, {eye.name} joins them")
    return ids


def read(logits: Tensor, ids: list[int]) -> Reading:
    """logits [vocabulary] -> the expectation over the tokens of the digits 0 to 9."""
    shares = torch.softmax(logits.double(), -1)[ids]
    mass = shares.sum()
    p = torch.softmax(logits.double()[ids], -1)  # of the digits alone, also where their mass underflows
    digits = torch.arange(DIGITS, dtype=p.dtype, device=p.device)
    mean = (p * digits).sum()
    return Reading(mean.item(), (p * (digits - mean).square()).sum().sqrt().item(), mass.item())
