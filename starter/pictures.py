"""The pictures the starter is trained on, with their prompts: one or two shapes on a ground, from signed distances."""
import random
from typing import NamedTuple

import torch

COLOURS = {"red": (225, 45, 45), "orange": (245, 140, 30), "yellow": (246, 216, 50), "green": (45, 165, 75),
           "cyan": (50, 205, 215), "blue": (50, 85, 225), "purple": (135, 60, 175), "black": (25, 25, 30)}
# top and bottom of a vertical gradient, and the height of the horizon (1 = none)
GROUNDS = {"white": ((246, 246, 244), (246, 246, 244), 1.0), "grey": ((172, 174, 178), (172, 174, 178), 1.0),
           "pink": ((250, 198, 212), (250, 198, 212), 1.0), "navy": ((24, 32, 78), (24, 32, 78), 1.0),
           "meadow": ((178, 218, 247), (222, 240, 250), 0.66), "night": ((12, 14, 40), (44, 46, 98), 1.0)}
GRASS = ((146, 204, 112), (108, 172, 86))
DARK = ("navy", "night")
SHAPES = ("circle", "square", "triangle", "cross", "ring", "star", "heart")
STYLES = ("flat", "outlined", "shaded")
INK = (26, 22, 32)
PLACES = {"": (0, 0), "on the left": (-6.5, 0), "on the right": (6.5, 0), "at the top": (0, -6.5),
          "at the bottom": (0, 6.5)}
SIZES = {"small": 5.0, "": 7.2, "large": 9.6}
RELATIONS = {"left of": (1, 0), "right of": (-1, 0), "above": (0, 1), "below": (0, -1)}  # where the second stands
PAIR_RADIUS, PAIR_DISTANCE = 5.6, 7.6
DOTS = 32                                                          # positions and sizes are in dots, 32 to a side


class Thing(NamedTuple):
    shape: str
    colour: str
    x: float
    y: float
    radius: float


class Scene(NamedTuple):
    things: tuple[Thing, ...]
    ground: str
    style: str
    prompt: str


def ground_words(ground: str) -> str:
    return {"meadow": "in a meadow", "night": "at night"}.get(ground, f"on a {ground} background")


def colours_on(ground: str) -> list[str]:
    return [c for c in COLOURS if not (ground in DARK and c == "black")]


def one_thing(rng: random.Random, shape: str, colour: str, ground: str, style: str, place: str = "",
              size: str = "") -> Scene:
    jitter = lambda: rng.uniform(-1.2, 1.2)
    x, y = PLACES[place]
    radius = SIZES[size] * rng.uniform(0.94, 1.06)
    thing = Thing(shape, colour, 16 + x + jitter(), 16 + y + jitter(), radius)
    words = f"a {size} {colour} {shape} {place} {ground_words(ground)}, {style} style"
    return Scene((thing,), ground, style, " ".join(words.split()))


def two_things(rng: random.Random, first: tuple, second: tuple, relation: str, ground: str, style: str) -> Scene:
    """`first` and `second` are (shape, colour)."""
    dx, dy = RELATIONS[relation]
    drift = lambda: rng.uniform(-1.0, 1.0)
    things = [Thing(*what, 16 + side * dx * PAIR_DISTANCE + drift() * (1 + abs(dy)),
                    16 + side * dy * PAIR_DISTANCE + drift() * (1 + abs(dx)), PAIR_RADIUS * rng.uniform(0.94, 1.06))
              for what, side in ((first, -1), (second, 1))]
    words = f"a {first[1]} {first[0]} {relation} a {second[1]} {second[0]} {ground_words(ground)}, {style} style"
    return Scene(tuple(things), ground, style, words)


def held_out(things, ground: str, style: str) -> bool:
    """One in eight combinations of shapes, colours, ground and style is never trained on."""
    key = "|".join([f"{s} {c}" for s, c in things] + [ground, style])
    return sum(ord(ch) * (i * i + 7) for i, ch in enumerate(key)) % 8 == 0


def random_thing(rng: random.Random, ground: str) -> tuple[str, str]:
    return rng.choice(SHAPES), rng.choice(colours_on(ground))


def random_scene(rng: random.Random, test: bool = False) -> Scene:
    """A scene of the training set, or with `test` one of the combinations it never contains."""
    while True:
        ground, style = rng.choice(list(GROUNDS)), rng.choice(STYLES)
        count = 1 if rng.random() < 0.6 else 2
        things = [random_thing(rng, ground) for _ in range(count)]
        if held_out(things, ground, style) != test or len(set(things)) < len(things):
            continue
        if len(things) == 2:
            return two_things(rng, *things, rng.choice(list(RELATIONS)), ground, style)
        return one_thing(rng, *things[0], ground, style, rng.choice(list(PLACES)), rng.choice(list(SIZES)))


def shorten(rng: random.Random, scene: Scene) -> str:
    """Now and then a prompt leaves out what is the default: a white ground, the flat style."""
    prompt = scene.prompt
    if scene.style == "flat" and rng.random() < 0.3:
        prompt = prompt.replace(", flat style", "")
    if scene.ground == "white" and rng.random() < 0.3:
        prompt = prompt.replace(" on a white background", "")
    return prompt


def _box(x, y, w, h):
    return torch.maximum(x.abs() - w, y.abs() - h)


def _triangle(x, y):
    return torch.maximum(y - 0.8, (1.85 * x.abs() - (y + 1.05)) / 2.103)


def _star(x, y):
    sector, inner = 2 * torch.pi / 5, 0.5
    angle = torch.remainder(torch.atan2(x, -y) + sector / 2, sector) - sector / 2
    radius = torch.sqrt(x * x + y * y)
    px, py = radius * torch.cos(angle), radius * torch.sin(angle).abs()
    corner = torch.tensor(torch.pi / 5)
    ex, ey = inner * torch.cos(corner) - 1.12, inner * torch.sin(corner)
    return ((px - 1.12) * ey - py * ex) / torch.sqrt(ex * ex + ey * ey)


def _heart(x, y):
    y, edge = y - 0.12, 0.63
    diamond = torch.maximum(((x + y) / 2 ** 0.5).abs(), ((x - y) / 2 ** 0.5).abs()) - edge
    lobe = torch.sqrt((x.abs() - edge / 2 ** 0.5) ** 2 + (y + edge / 2 ** 0.5) ** 2) - edge
    return torch.minimum(diamond, lobe)


DISTANCE = {
    "circle": lambda x, y: torch.sqrt(x * x + y * y) - 1,
    "square": lambda x, y: _box(x, y, 0.86, 0.86),
    "triangle": _triangle,
    "cross": lambda x, y: torch.minimum(_box(x, y, 0.36, 1.0), _box(x, y, 1.0, 0.36)),
    "ring": lambda x, y: (torch.sqrt(x * x + y * y) - 0.76).abs() - 0.27,
    "star": _star,
    "heart": _heart,
}


def grid(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Dot coordinates of the pixel centres, each [size, size]."""
    line = (torch.arange(size) + 0.5) * DOTS / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y


def distance(thing: Thing, x, y) -> torch.Tensor:
    """Signed distance to the outline in dots (negative inside)."""
    return DISTANCE[thing.shape]((x - thing.x) / thing.radius, (y - thing.y) / thing.radius) * thing.radius


def colour(rgb) -> torch.Tensor:
    return torch.tensor(rgb, dtype=torch.float32).view(3, 1, 1) / 255


def draw_ground(ground: str, size: int, rng: random.Random | None) -> torch.Tensor:
    """[3, size, size]; `rng` places the stars of the night sky, None leaves them out."""
    top, bottom, horizon = GROUNDS[ground]
    x, y = grid(size)
    height = y / DOTS
    picture = torch.lerp(colour(top), colour(bottom), (height / horizon).clamp(0, 1))
    if horizon < 1:
        grass = torch.lerp(colour(GRASS[0]), colour(GRASS[1]), ((height - horizon) / (1 - horizon)).clamp(0, 1))
        picture = torch.where(height > horizon, grass, picture)
    if ground == "night" and rng:
        for _ in range(7):
            star = Thing("circle", "", rng.uniform(0, DOTS), rng.uniform(0, DOTS), 0.55)
            picture = torch.lerp(picture, colour((235, 235, 210)), cover(distance(star, x, y), size))
    return picture


def cover(signed: torch.Tensor, size: int) -> torch.Tensor:
    """Share of each pixel inside an outline at `signed` dots."""
    return (0.5 - signed * size / DOTS).clamp(0, 1)


def draw_thing(picture: torch.Tensor, thing: Thing, style: str) -> torch.Tensor:
    size = picture.shape[-1]
    x, y = grid(size)
    signed = distance(thing, x, y)
    paint = colour(COLOURS[thing.colour])
    if style == "shaded":
        shadow = distance(thing._replace(x=thing.x + 1.0, y=thing.y + 1.0), x, y)
        picture = picture * (1 - 0.28 * (0.5 - shadow / 1.6).clamp(0, 1))
        light = ((x - thing.x + y - thing.y) / (2.8 * thing.radius) + 0.5).clamp(0, 1)
        paint = torch.lerp(torch.lerp(paint, colour((255, 255, 255)), 0.32), paint * 0.66, light)
    if style == "outlined":
        picture = torch.lerp(picture, colour(INK), cover(signed - 0.35, size))
        signed = signed + 0.75
    return torch.lerp(picture, paint, cover(signed, size))


def draw(scene: Scene, size: int = 128, rng: random.Random | None = None) -> torch.Tensor:
    """[3, size, size] in 0..1."""
    picture = draw_ground(scene.ground, size, rng)
    for thing in scene.things:
        picture = draw_thing(picture, thing, scene.style)
    return picture
