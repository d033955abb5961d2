"""Train LoRA with a critic on the starter: which step it keeps, and what it makes of spoiled pictures in a data set.

Nine woodcuts and three whose colours are inverted are learnt, with weights from the critic and without. The critic
holds pictures against 16 other woodcuts. Held-out prompts are woodcut captions that no training picture has.
"""
import statistics
from typing import NamedTuple

import timing

WHOLE, SPOILED, OTHERS, HELD, HELD_SEED, STEPS, EVERY, SAMPLING_STEPS = 9, 3, 16, 16, 2000, 60, 10, 12
RATE = 3e-3     # three times the usual, so that later steps may be worse
RUBRIC = "*=0; Value=1; Colour richness=1; Line=1"


class Run(NamedTuple):
    """judged: (step, score) of the sample pictures; held: scores of held-out prompts with the best and last LoRA."""
    weighting: float
    judged: list
    best: int
    weighed: tuple
    held: dict


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--held", type=int, default=HELD, help="held-out pictures")
    options = parser.parse_args()
    pack = timing.start_host("training", "../starter")
    import comfy.utils
    comfy.utils.PROGRESS_BAR_ENABLED = False
    with timing.output_folder() as folder:
        workshop = Workshop(pack, folder, options.held)
        publish(workshop.held_out(None), [workshop.run(weighting) for weighting in (0.0, 2.0)], options)


class Workshop:
    """The starter, its woodcuts, and a critic who has seen others of them."""

    def __init__(self, pack, folder, held):
        import importlib

        import evaluate
        import install
        import torch
        import woodcut
        install.install_models(folder / "models")
        evaluate.STEPS = SAMPLING_STEPS
        self.part = lambda name: importlib.import_module(f"{pack.__name__}.nodes.{name}")
        self.starter, self.woodcut = evaluate.Starter(folder / "models"), woodcut
        self.held = [woodcut.caption(thing) for thing in woodcut.things(held, HELD_SEED)]
        with torch.inference_mode():
            self.critic = self.learned_critic(woodcut.things(OTHERS, 1000))
            self.dataset = self.training_set(woodcut.things(WHOLE + SPOILED, 0))

    def learned_critic(self, things):
        import torch
        own, picture = self.part("critique.critic"), self.part("critique.picture")
        rubric, paintings = self.part("critique.language").parse(RUBRIC), self.part("critique.reference").paintings()
        columns = sorted(self.part("critique.score").needed(paintings, rubric))
        rows = []
        for thing in things:
            drawn = picture.Picture.from_images(self.woodcut.draw_woodcut(thing).movedim(0, -1)[None])
            found = own.numbers(drawn.at_longer_side(picture.CANONICAL), columns=columns)
            rows.append([found[column] for column in columns])
        rows = torch.tensor(rows, dtype=torch.float64)
        reference = self.part("critique.reference").fit("woodcuts", "the starter", columns, rows, columns)
        return self.part("studio.training_critic").TrainingCritic(rubric, reference)

    def training_set(self, things):
        import torch

        import nodes
        drawn = torch.stack([self.woodcut.draw_woodcut(thing) for thing in things]).movedim(1, -1)
        drawn[WHOLE:] = 1 - drawn[WHOLE:]
        latents = nodes.VAEEncode().encode(self.starter.vae, drawn)[0]["samples"]
        captions = [self.starter.encode(self.woodcut.caption(thing)) for thing in things]
        made = self.part("training.dataset").from_core_nodes([{"samples": latents}], captions)
        names = [f"woodcut {i + 1}" if i < WHOLE else f"inverted {i + 1 - WHOLE}" for i in range(len(things))]
        return made._replace(samples=[s._replace(name=n) for s, n in zip(made.samples, names, strict=True)])

    def run(self, weighting):
        import torch
        recipes, name = self.part("training.recipe"), f"weighted_{weighting:g}"
        recipe = recipes.Recipe(samples=recipes.SamplePlan(every=EVERY, steps=SAMPLING_STEPS, cfg=3.0))
        settings = self.part("training.settings").Settings(STEPS, 1, RATE, 16, 0, recipe)
        with torch.inference_mode():
            prompts = [self.starter.encode(prompt)[0] for prompt in self.held[:2]]
            done = self.part("training.run").train(
                self.starter.model, self.dataset, settings, name, self.part("training.progress").Progress(STEPS, "1"),
                sample_prompts=prompts, vae=self.starter.vae, critic=self.critic, critic_weighting=weighting)
        favourite = done.favourite
        held = {"best": self.held_out(done.path)}
        last = done.path.replace(name, f"{name}_last")
        held["last"] = held["best"] if favourite.step == STEPS else self.held_out(last)
        return Run(weighting, favourite.judged, favourite.step, done.weighed, held)

    def held_out(self, path):
        """Scores of held-out prompts, with the LoRA of a file or without."""
        import comfy.sd
        import torch
        from safetensors.torch import load_file
        model = self.starter.model
        if path is not None:
            model = comfy.sd.load_lora_for_models(model, None, load_file(path), 1.0, 0.0)[0]
        with torch.inference_mode():
            return [score for number, prompt in enumerate(self.held) for score in
                    self.critic.score(self.starter.sample(prompt, 500 + number, model).movedim(1, -1))]


def publish(base, runs, options):
    steps = [judged.step for judged in runs[0].judged]
    rows = [(f"weighting {run.weighting:g}", *(f"{j.score:.1f}" + " (best)" * (j.step == run.best) for j in run.judged))
            for run in runs]
    held = [("without a LoRA", *figures(base))]
    held += [(f"weighting {run.weighting:g}, {which} step", *figures(run.held[which])) for run in runs
             for which in ("best", "last")]
    weights = [(w.name, f"{w.score:.1f}", f"{w.weight:.2f}") for w in sorted(runs[-1].weighed, key=lambda w: -w.score)]
    timing.publish(
        "critic_keeping", "Train LoRA with a critic",
        f"The starter, {WHOLE} woodcuts and {SPOILED} inverted ones, {STEPS} steps at a rate of {RATE:g}, two sample "
        f"prompts every {EVERY} steps; the critic holds pictures against {OTHERS} other woodcuts under "
        f"`{RUBRIC}`. Scores of the sample pictures after so many steps:",
        timing.table(["training", *map(str, steps)], rows),
        f"Scores of {len(base)} pictures of held-out prompts:",
        timing.table(["training", "mean", "standard error"], held),
        f"What each picture counts at a weighting of {runs[-1].weighting:g}:",
        timing.table(["picture", "score", "weight"], weights))


def figures(scores):
    return f"{statistics.mean(scores):.1f}", f"{statistics.stdev(scores) / len(scores) ** 0.5:.1f}"


if __name__ == "__main__":
    main()
