"""What a picture shows and how it is painted: drawn from a seed, said in words, and never two ways to say one thing."""
from typing import NamedTuple

import numpy as np

from .palettes import PALETTES

LANDSCAPES = ("hills", "mountains", "a lake", "the sea", "a path")
STILL_LIVES = ("a jug and fruit", "a bowl of fruit", "a bottle and fruit", "a vase of flowers")
ABSTRACTS = ("circles", "blocks", "bars", "waves")
SUBJECTS = {"landscape": LANDSCAPES, "still life": STILL_LIVES, "abstract": ABSTRACTS}
THINGS = ("", "a tree", "poplars", "a house")          # what stands in a landscape, on its left or right third
BOAT = "a sailing boat"                                 # only on the sea
LIGHTS = {"landscape": ("day", "dusk", "night"), "still life": ("bright wall", "dark wall"),
          "abstract": ("light ground", "dark ground")}
SIDES = ("left", "right")
PLANS = {"landscape": ("high horizon", "low horizon"), "still life": ("on the left", "centred", "on the right"),
         "abstract": ("symmetric", "diagonal", "scattered")}
MEDIA = ("oil", "gouache", "ink wash", "pastel")
HELD_OUT_MEDIA = ("woodcut", "dots", "stained glass")   # the starter never sees them; a LoRA learns them
SHARES = {"landscape": 0.5, "still life": 0.3, "abstract": 0.2}


class Scene(NamedTuple):
    """The words of a picture. `thing` and `place` belong to landscapes; `side` is where the light comes from, and is
    empty in abstract pictures."""
    kind: str
    subject: str
    thing: str
    place: str
    palette: str
    light: str
    side: str
    plan: str
    medium: str

    @property
    def caption(self) -> str:
        """All the words, in one order."""
        subject = {"landscape": f"a landscape of {self.subject}", "still life": f"a still life of {self.subject}",
                   "abstract": f"an abstract of {self.subject}"}[self.kind]
        if self.thing:
            subject += f" with {self.thing} on the {self.place}"
        light = f"{self.light}, light from the {self.side}" if self.side else self.light
        return f"{subject}, {self.palette}, {light}, {self.plan}, {self.medium}"


def values_of(kind: str) -> dict[str, tuple[str, ...]]:
    """The properties of a kind of picture and the values each may have; of "all", what can be told of any picture."""
    media = MEDIA + HELD_OUT_MEDIA
    if kind == "all":
        return {"kind": tuple(SUBJECTS)}
    values = {"subject": SUBJECTS[kind], "palette": tuple(PALETTES), "light": LIGHTS[kind], "plan": PLANS[kind],
              "medium": media}
    if kind == "landscape":
        values |= {"thing": (*THINGS, BOAT), "place": SIDES}
    return values | ({"side": SIDES} if kind != "abstract" else {})


def mirrored(scene: Scene) -> Scene:
    """The scene of the mirror image."""
    other = {"left": "right", "right": "left", "on the left": "on the right", "on the right": "on the left"}
    return scene._replace(place=other.get(scene.place, ""), side=other.get(scene.side, ""),
                          plan=other.get(scene.plan, scene.plan))


def held_out(scene: Scene) -> bool:
    """One in eight combinations of subject, palette, light, plan and medium is never trained on."""
    key = "|".join((scene.subject, scene.palette, scene.light, scene.plan, scene.medium))
    return sum(ord(ch) * (i * i + 7) for i, ch in enumerate(key)) % 8 == 0


def random_scene(rng: np.random.Generator, test: bool = False, media: tuple[str, ...] = MEDIA) -> Scene:
    """A scene of the training set, or with `test` one whose combination it never contains."""
    while True:
        scene = _any_scene(rng, media)
        if held_out(scene) == test:
            return scene


def _any_scene(rng, media) -> Scene:
    choose = lambda options: options[int(rng.integers(len(options)))]
    kind = tuple(SHARES)[int(np.searchsorted(np.cumsum(list(SHARES.values())), rng.random()))]
    subject = choose(SUBJECTS[kind])
    thing = choose(THINGS) if kind == "landscape" and subject != "the sea" else ""
    thing = BOAT if subject == "the sea" and rng.random() < 0.6 else thing
    return Scene(kind, subject, thing, choose(SIDES) if thing else "", choose(tuple(PALETTES)), choose(LIGHTS[kind]),
                 choose(SIDES) if kind != "abstract" else "", choose(PLANS[kind]), choose(media))
