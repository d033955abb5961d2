"""What each player of a game brings: Shapley's share (1953), the mean of what it adds over all orders of arrival."""
import math
from collections.abc import Sequence

import numpy as np


def shapley_values(worths: np.ndarray) -> np.ndarray:
    """Exact values [n, ...] of n players from the worth [2^n, ...] of every coalition; bit i of its number: player i.

    They sum to the worth of all less that of none, whatever the game."""
    number = (len(worths) - 1).bit_length()
    coalitions = np.arange(len(worths))
    sizes = np.array([coalition.bit_count() for coalition in range(len(worths))])
    weight = np.array([1 / (number * math.comb(number - 1, size)) for size in range(number)])
    values = []
    for player in range(number):
        without = coalitions[coalitions >> player & 1 == 0]
        gains = worths[without | 1 << player] - worths[without]
        values.append(np.tensordot(weight[sizes[without]], gains, 1))
    return np.array(values).reshape(number, *worths.shape[1:])


def gains_of(order: Sequence[int], worths: Sequence[np.ndarray]) -> np.ndarray:
    """What each player [n, ...] adds when they arrive in `order`; `worths` are those of the first 0, 1, ..., n of it.

    The mean over random orders is an unbiased estimate of the Shapley values (Castro et al. 2009), and each order by
    itself sums to the worth of all less that of none."""
    gains = np.empty((len(order), *np.shape(worths[0])))
    gains[list(order)] = np.diff(np.asarray(worths, float), axis=0)
    return gains
