"""Which of the two starters a benchmark draws and trains with; both answer to the same few methods."""
import argparse
import random
from functools import cache
from pathlib import Path


class Flat:
    """The flat starter: things of plain colours on a ground, 128 x 128."""
    name, suffix = "the starter", ""
    one_prompt = "a red circle on a white background, flat style"      # where seeds of one prompt are compared
    style_prompts = tuple(f"a {thing}, woodcut style"                  # of no woodcut that is learnt
                          for thing in ("red circle", "blue star", "green square", "purple heart"))
    style_training = 80, 4, 0.002       # steps, pictures a step, rate of a LoRA of twelve woodcuts
    ground_is = "ground from paper"     # what `ground` measures

    def __init__(self, models: Path, steps: int | None = None):
        import evaluate
        import install
        install.install_models(models)
        self._take(evaluate, evaluate.Starter(models), steps)

    def _take(self, evaluate, loaded, steps: int | None):
        evaluate.STEPS = steps or evaluate.STEPS
        self.steps, self.guidance, self.size = evaluate.STEPS, evaluate.GUIDANCE, evaluate.SIZE
        self.model, self.vae, self.empty = loaded.model, loaded.vae, loaded.empty
        self.encode = cache(loaded.encode)      # a quarter of a second of the painter's picture

    @property
    def latent(self) -> dict:
        """An empty LATENT of one picture."""
        import nodes
        return nodes.EmptyLatentImage().generate(self.size, self.size, 1)[0]

    def picture(self, caption: str, seed: int, model=None):
        """IMAGE [1, H, W, 3] as KSampler draws it."""
        import nodes
        latent, = nodes.KSampler().sample(model or self.model, seed, self.steps, self.guidance, "euler", "simple",
                                          self.encode(caption), self.empty, self.latent)
        return nodes.VAEDecode().decode(self.vae, latent)[0]

    def unseen(self, count: int, seed: int) -> list:
        """Scenes of combinations that training never saw."""
        import evaluate
        return evaluate.unseen_scenes(count, seed)

    def seen(self, count: int, seed: int) -> list:
        """Scenes of combinations that training may have seen."""
        from pictures import random_scene
        rng = random.Random(seed)
        return [random_scene(rng) for _ in range(count)]

    def caption(self, scene) -> str:
        return scene.prompt

    def right(self, image, scene) -> bool:
        """Whether a picture [H, W, 3] in 0..1 has what the caption names, by the judge that needs no model."""
        import judge
        return judge.agrees(judge.find(image.movedim(-1, 0).clone(), scene.ground), scene)

    def woodcuts(self, count: int = 12, seed: int = 7) -> tuple:
        """(pictures [count, H, W, 3], captions) of a style that the starter never saw."""
        import torch
        import woodcut
        things = woodcut.things(count, seed)
        drawn = torch.stack([woodcut.draw_woodcut(thing) for thing in things]).movedim(1, -1)
        return drawn, [woodcut.caption(thing) for thing in things]

    def woodcut_captions(self, count: int, seed: int) -> list[str]:
        import woodcut
        return [woodcut.caption(thing) for thing in woodcut.things(count, seed)]

    def ground(self, picture) -> tuple[float, bool]:
        """How far the median colour of the border of a picture [H, W, 3] is from the paper of woodcuts, of 255, and
        whether it is nearer to that of inverted ones."""
        import torch
        import woodcut
        inside = torch.zeros(picture.shape[:2], dtype=torch.bool)
        inside[8:-8, 8:-8] = True
        paper, found = torch.tensor(woodcut.PAPER) / 255.0, picture[~inside].median(0).values
        away, other = ((found - tone).square().mean().sqrt().item() * 255 for tone in (paper, 1 - paper))
        return away, other < away


class Painter(Flat):
    """The painter: landscapes, still lifes and abstract compositions in four media, 256 x 256."""
    name, suffix = "the painter", "_painter"
    one_prompt = ("a landscape of hills with a tree on the left, umber and gold, day, light from the left, "
                  "high horizon, oil")
    style_prompts = (
        "a landscape of mountains with a tree on the left, umber and gold, night, light from the left, high horizon, "
        "woodcut",
        "a landscape of a lake with a tree on the right, slate and ochre, day, light from the right, high horizon, "
        "woodcut",
        "a still life of a jug and fruit, rust and olive, bright wall, light from the left, on the left, woodcut",
        "an abstract of waves, green and silver, dark ground, scattered, woodcut")
    style_training = 120, 4, 0.001
    ground_is = "mean colour from woodcuts'"

    def __init__(self, models: Path, steps: int | None = None):
        from painter import evaluate, install, judge
        install.install(models)
        self._take(evaluate, evaluate.Painter(models), steps)
        self.judge = judge.Judge()
        self.tones = None

    def unseen(self, count, seed, **which):
        return self._scenes(count, seed, test=True, **which)

    def seen(self, count, seed):
        return self._scenes(count, seed)

    def _scenes(self, count, seed, **which):
        import numpy as np
        from painter.scenes import random_scene
        rng = np.random.default_rng(seed)
        return [random_scene(rng, **which) for _ in range(count)]

    def caption(self, scene):
        return scene.caption

    def right(self, image, scene):
        return not self.judge.wrong((image.clamp(0, 1) * 255).round().byte().numpy(), scene)

    def woodcuts(self, count=12, seed=7):
        import numpy as np
        import torch
        from painter import pictures
        from painter.install import FIRST_SEED
        made = [pictures.picture(FIRST_SEED + 100 * seed + k, media=("woodcut",)) for k in range(count)]
        drawn = torch.from_numpy(np.stack([picture for picture, _ in made])).float() / 255
        return drawn, [scene.caption for _, scene in made]

    def woodcut_captions(self, count, seed):
        return [scene.caption for scene in self.unseen(count, seed, media=("woodcut",))]

    def ground(self, picture):
        """How far the mean colour of a picture [H, W, 3] is from that of 20 woodcuts, of 255, and whether it is nearer
        to inverted ones by mean colour and by the skew of its detail, because its border may be sky or sea: thin lines
        are dark in a woodcut and light in an inverted one."""
        import torch
        if self.tones is None:
            self.tones = torch.stack([colour_and_lines(each) for each in self.woodcuts(20, 900)[0]]).mean(0)
        found = colour_and_lines(picture)
        away = (found - self.tones)[:3].square().mean().sqrt().item() * 255 / 2
        return away, bool(found @ self.tones < 0)


def colour_and_lines(picture):
    """[4] of [H, W, 3]: the mean colour, -1..1, and the skew of what of its light is finer than 7 pixels; the negative
    of all four for the inverted picture."""
    import torch
    light = (picture @ torch.tensor([0.299, 0.587, 0.114]))[None, None]
    detail = light - torch.nn.functional.avg_pool2d(light, 7, 1, 3, count_include_pad=False)
    skew = detail.pow(3).mean() / detail.square().mean().clamp(min=1e-12) ** 1.5
    return torch.cat([2 * picture.reshape(-1, 3).mean(0) - 1, skew[None]])


def parsed(parser: argparse.ArgumentParser, flat: dict, painter: dict) -> argparse.Namespace:
    """The arguments, with --painter. flat, painter: what holds with either where nothing is asked for, because the
    painter takes several times as long."""
    parser.add_argument("--painter", action="store_const", const=Painter, default=Flat, dest="drawn_by",
                        help="draw with the painter instead of the flat starter; results go to a table of their own")
    options = parser.parse_args()
    usual = painter if options.drawn_by is Painter else flat
    for name, value in usual.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options
