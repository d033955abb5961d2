"""Searches for the highest value of a function of a few bounded numbers, one question at a time.

A search is a generator: it yields weights, is sent their value, and ends when it has nothing more to ask.
"""
from collections.abc import Callable, Generator, Sequence

import numpy as np

Weights = tuple[float, ...]
Search = Generator[Weights, float, None]

UNIFORM_WEIGHTS = (0.5, 1.5)  # one number for all, tried before weights of their own
FIRST_STEP, LAST_STEP = 1.0, 0.1
SPREAD = 0.4  # standard deviation that CMA-ES begins with
METHODS = ("auto", "cma", "coordinate")


def search(method: str, start: Weights, value: float, low: float, high: float, seed: int) -> tuple[str, Search]:
    """(its name, the search) from `start`, whose value is known, or from one of UNIFORM_WEIGHTS where that is better.

    `auto`: CMA-ES where the package cma is installed.
    Raises ValueError for an unknown method, and where cma is asked for and missing."""
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    cma = None if method == "coordinate" else _package()
    if method == "cma" and not cma:
        raise ValueError("method: cma needs the Python package cma, which is not installed; install it where ComfyUI "
                         "runs, or choose coordinate")
    if cma:
        return "CMA-ES", uniform_first(start, value, lambda best, _: cma_es(cma, best, low, high, seed))
    return "coordinate search", uniform_first(
        start, value, lambda best, known: coordinate_search(best, known, low, high))


def _package():
    try:
        import cma
    except ImportError:
        return None
    return cma


def uniform_first(start: Weights, value: float, then: Callable[[Weights, float], Search]) -> Search:
    """Tries UNIFORM_WEIGHTS, then searches from the best of them and the start: weights of their own have to beat one
    for all."""
    for level in UNIFORM_WEIGHTS:
        point = (level,) * len(start)
        found = yield point
        if found > value:
            start, value = point, found
    yield from then(start, value)


def coordinate_search(start: Weights, value: float, low: float, high: float) -> Search:
    """One number after another is moved down or up by a step and stays where that is better; when no move is, the
    step is halved."""
    best, step = start, FIRST_STEP
    while step >= LAST_STEP:
        improved = False
        for at in range(len(start)):
            for way in (-step, step):
                moved = (*best[:at], rounded(min(high, max(low, best[at] + way))), *best[at + 1:])
                if moved == best:
                    continue
                found = yield moved
                if found > value:
                    best, value, improved = moved, found, True
                    break
        if not improved:
            step /= 2


def cma_es(cma, start: Sequence[float], low: float, high: float, seed: int) -> Search:
    """CMA-ES (Hansen 2016) as the package cma has it, with a generator of its own."""
    random = np.random.default_rng(seed)
    options = {"bounds": [low, high], "seed": np.nan, "randn": lambda *size: random.standard_normal(size),
               "verbose": -9, "tolx": LAST_STEP / 10}
    strategy = cma.CMAEvolutionStrategy(list(start), SPREAD, options)  # seed NaN: numpy's own generator is left alone
    while not strategy.stop():
        asked = strategy.ask()
        losses = []
        for point in asked:
            found = yield tuple(rounded(min(high, max(low, number))) for number in point)
            losses.append(-found)
        strategy.tell(asked, losses)


def rounded(number: float) -> float:
    """To hundredths, so that a text of weights says exactly what was tried."""
    return round(float(number), 2) + 0.0
