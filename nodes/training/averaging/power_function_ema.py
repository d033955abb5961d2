"""Power-function averages of a training's weights, and how they follow from snapshots.

Karras et al. 2024 (arXiv:2312.02696), section 3.2 and appendix C. After t steps the weights of step s count
proportionally to s^gamma: the average stays as long, in relation to the training, as it goes on. Its length sigma_rel
is the standard deviation of that profile as a share of t.
"""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SHORTEST, LONGEST = 0.005, 0.28     # sigma_rel; at 0.2887 every step counts alike


class Reconstruction(NamedTuple):
    """weights: of the snapshots, which add up to 1. error: what is left of the profile, as a share of its norm."""
    weights: list[float]
    error: float


def exponent_of(length: float) -> float:
    """gamma of sigma_rel: the largest root of gamma^3 + 7 gamma^2 + (16 - sigma^-2) gamma + 12 - sigma^-2."""
    inverse = length ** -2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def decay(update: int, exponent: float) -> float:
    """What the average keeps of itself at update 1, 2, ...; the first takes the weights as they are."""
    return (1 - 1 / update) ** (exponent + 1)


def weights_of_plain(steps: Sequence[int], length: float) -> list[float]:
    """The weights by which snapshots of plain weights stand for an average that ends at the last of them.

    Between two snapshots the weights are taken to move in a straight line, and before the first to be the first. steps:
    of the snapshots, rising."""
    if len(steps) == 1:
        return [1.0]
    power, nodes, last = exponent_of(length) + 1, np.array(steps, dtype=np.float64), steps[-1]
    each = np.arange(1, last + 1)
    counts = (each / last) ** power - ((each - 1) / last) ** power
    right = np.clip(np.searchsorted(nodes, each), 1, len(nodes) - 1)
    share = np.clip((each - nodes[right - 1]) / (nodes[right] - nodes[right - 1]), 0, 1)
    found = np.bincount(right, counts * share, len(nodes)) + np.bincount(right - 1, counts * (1 - share), len(nodes))
    return found.tolist()


def before_first(steps: Sequence[int], length: float) -> float:
    """The share of an average that lies before the first snapshot."""
    return (steps[0] / steps[-1]) ** (exponent_of(length) + 1)


def weights_of_averages(steps: Sequence[int], kept: Sequence[float], length: float) -> Reconstruction:
    """The weights by which snapshots of power-function averages come nearest to another that ends at the last of them.

    Least squares between the profiles, among weights that add up to 1, so that what did not move is kept as it is.
    steps: of the snapshots. kept: the length sigma_rel of each."""
    times = np.array(steps, dtype=np.float64)
    exponents = np.array([exponent_of(each) for each in kept])
    aim_time, aim = times.max(keepdims=True), np.array([exponent_of(length)])
    gram = _overlap(times, exponents, times, exponents)
    wanted = _overlap(times, exponents, aim_time, aim)[:, 0]
    norm = float(_overlap(aim_time, aim, aim_time, aim)[0, 0])
    scale = np.sqrt(np.diag(gram))      # equal diagonals, for the sake of rounding
    ones = np.ones(len(times)) / scale
    system = np.block([[gram / np.outer(scale, scale), ones[:, None]], [ones[None], np.zeros((1, 1))]])
    solution = np.linalg.lstsq(system, np.append(wanted / scale, 1.0), 1e-14)[0][:-1] / scale
    left = norm - 2 * solution @ wanted + solution @ gram @ solution
    return Reconstruction(solution.tolist(), float(np.sqrt(max(left, 0.0) / norm)))


def _overlap(time_a, exponent_a, time_b, exponent_b) -> np.ndarray:
    """The inner products of profiles, [a, b]: algorithm 3 of the paper."""
    time_a, exponent_a = time_a[:, None], exponent_a[:, None]
    ratio = (time_a / time_b) ** np.where(time_a < time_b, exponent_b, -exponent_a)
    return ((exponent_a + 1) * (exponent_b + 1) * ratio
            / ((exponent_a + exponent_b + 1) * np.maximum(time_a, time_b)))
