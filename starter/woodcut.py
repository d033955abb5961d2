"""Twelve pictures in a style the starter has never seen, for the training example: coloured woodcuts on old paper."""
import random

import torch
from pictures import COLOURS, SHAPES, Thing, colour, cover, distance, grid

PAPER, INK = (236, 219, 180), (58, 36, 28)
PITCH, LINE, RIM = 3.2, 0.75, 1.0        # dots between hatch lines, half a hatch line, half the outline
COUNT, SEED = 12, 7


def draw_woodcut(thing: Thing, size: int = 128) -> torch.Tensor:
    """[3, size, size] in 0..1: a rim of ink around slanting lines of ink over the colour."""
    x, y = grid(size)
    signed = distance(thing, x, y)
    across = torch.remainder((x + y) / 2 ** 0.5, PITCH) - PITCH / 2
    rules = torch.remainder(y, 2 * PITCH) - PITCH
    picture = torch.lerp(colour(PAPER).expand(3, size, size), colour(INK), 0.35 * cover(rules.abs() - 0.4, size))
    picture = torch.lerp(picture, colour(COLOURS[thing.colour]), cover(signed, size))
    hatch = torch.minimum(cover(across.abs() - LINE, size), cover(signed, size))
    return torch.lerp(picture, colour(INK), torch.maximum(hatch, cover(signed.abs() - RIM, size)))


def things(count: int = COUNT, seed: int = SEED) -> list[Thing]:
    rng = random.Random(seed)
    colours = rng.sample(list(COLOURS), len(COLOURS)) * 2
    return [Thing(SHAPES[i % len(SHAPES)], colours[i], 16 + rng.uniform(-2, 2), 16 + rng.uniform(-2, 2),
                  rng.uniform(7.5, 10.5)) for i in range(count)]


def caption(thing: Thing) -> str:
    return f"a {thing.colour} {thing.shape}, woodcut style"
