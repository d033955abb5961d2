"""Which of the two starters a benchmark draws with; both answer to the same few methods."""
from pathlib import Path


class Flat:
    """The flat starter: things of plain colours on a ground, 128 x 128."""
    name, suffix = "the starter", ""
    one_prompt = "a red circle on a white background, flat style"      # where seeds of one prompt are compared

    def __init__(self, models: Path, steps: int | None = None):
        import evaluate
        import install
        install.install_models(models)
        self._take(evaluate, evaluate.Starter(models), steps)

    def _take(self, evaluate, loaded, steps: int | None):
        evaluate.STEPS = steps or evaluate.STEPS
        self.steps, self.guidance, self.size = evaluate.STEPS, evaluate.GUIDANCE, evaluate.SIZE
        self.model, self.vae, self.empty, self.encode = loaded.model, loaded.vae, loaded.empty, loaded.encode
        self.sample = loaded.sample

    def unseen(self, count: int, seed: int) -> list:
        """Scenes of combinations that training never saw."""
        import evaluate
        return evaluate.unseen_scenes(count, seed)

    def caption(self, scene) -> str:
        return scene.prompt

    def right(self, image, scene) -> bool:
        """Whether a picture [H, W, 3] in 0..1 has what the caption names, by the judge that needs no model."""
        import judge
        return judge.agrees(judge.find(image.movedim(-1, 0).clone(), scene.ground), scene)


class Painter(Flat):
    """The painter: landscapes, still lifes and abstract compositions in four media, 256 x 256."""
    name, suffix = "the painter", "_painter"
    one_prompt = ("a landscape of hills with a tree on the left, umber and gold, day, light from the left, "
                  "high horizon, oil")

    def __init__(self, models: Path, steps: int | None = None):
        from painter import evaluate, install, judge
        install.install(models)
        self._take(evaluate, evaluate.Painter(models), steps)
        self.judge = judge.Judge()

    def unseen(self, count, seed):
        import numpy as np
        from painter.scenes import random_scene
        rng = np.random.default_rng(seed)
        return [random_scene(rng, test=True) for _ in range(count)]

    def caption(self, scene):
        return scene.caption

    def right(self, image, scene):
        return not self.judge.wrong((image.clamp(0, 1) * 255).round().byte().numpy(), scene)


def add_option(parser):
    """--painter, of the benchmarks that can draw with either."""
    parser.add_argument("--painter", action="store_const", const=Painter, default=Flat, dest="drawn_by",
                        help="draw with the painter instead of the flat starter; results go to a table of their own")
