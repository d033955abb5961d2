"""Training with the critic on the starter: what held-out prompts earn before and after, and what it costs elsewhere.

A new LoRA is trained on seen prompts for one criterion and then measured on prompts whose combination of shape, colour,
ground and style the starter was never trained on, one picture each, with the same seeds before and after. The
criterion is measured as Art Critique measures it, not in the soft form that was climbed. The prompt check is the
starter's own judge: exactly the things that were asked for, each with its shape and colour.
"""
import random
import statistics
import time
from typing import NamedTuple

import timing

PROMPTS, PICTURES, STEPS, BATCH, SAMPLING_STEPS, SEED = 16, 64, 40, 2, 12, 7


class Way(NamedTuple):
    """last_steps: of DRaFT; penalty: as on the node."""
    rubric: str
    method: str
    last_steps: int = 1
    penalty: float = 1.0

    @property
    def name(self):
        return f"{self.rubric.removeprefix('*=0; ')}, {self.method.partition(':')[0]}, penalty {self.penalty:g}"


class Found(NamedTuple):
    """aims: the score under each way's rubric, hard; positions: of each criterion; right: by the prompt check."""
    aims: dict
    score: float
    positions: dict
    right: bool
    picture: object


SATURATION, DRAFT, REFL = '*=0; "mean S channel"=high', "DRaFT: the last steps", "ReFL: one random step"
WAYS = [Way(SATURATION, DRAFT, penalty=10.0), Way("*=0; Balance=high", REFL, penalty=10.0), Way(SATURATION, DRAFT)]


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="held-out pictures before and after")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each training")
    options = parser.parse_args()
    pack = timing.start_host("training", "../starter")
    import comfy.utils
    comfy.utils.PROGRESS_BAR_ENABLED = False
    with timing.output_folder() as folder:
        studio = Studio(pack, folder, options.pictures)
        before = studio.measure(None)
        runs = []
        for way in WAYS:
            lora, facts = studio.train(way, options.steps)
            runs.append((way, facts, studio.measure(lora)))
            publish(before, runs, options)


class Studio:
    """The starter, prompts to train on, and held-out scenes."""

    def __init__(self, pack, folder, pictures):
        import importlib

        import evaluate
        import install
        from pictures import random_scene
        install.install_models(folder / "models")
        evaluate.STEPS = SAMPLING_STEPS
        self.part = lambda name: importlib.import_module(f"{pack.__name__}.nodes.{name}")
        self.starter, self.scenes = evaluate.Starter(folder / "models"), evaluate.unseen_scenes(pictures, SEED)
        rng = random.Random(SEED)
        self.prompts = [random_scene(rng).prompt for _ in range(PROMPTS)]
        self.reference = self.part("critique.reference").paintings()

    def train(self, way, steps):
        """(LoRA, {what: figure})"""
        import torch
        train, session, rewards = (self.part(f"studio.{name}") for name in ("critic_train", "critic_session", "reward"))
        began = time.perf_counter()
        with torch.inference_mode():
            starter, rubric = self.starter, self.part("critique.language").parse(way.rubric)
            positive = [entry for prompt in self.prompts for entry in starter.encode(prompt)]
            seen = self.part("studio.decoder").decoder(starter.model, "auto", starter.vae)
            goal = session.Goal(rewards.reward(rewards.named(rubric), self.reference, seen.detail), seen, way.method,
                                way.last_steps, way.penalty)
            sampling = self.part("studio.sampling").Sampling(
                positive, starter.empty, {"samples": torch.zeros(1, 16, 16, 16)}, starter.vae, SAMPLING_STEPS, 3.0,
                "euler", "simple")
            settings = self.part("training.settings").Settings(steps, BATCH, 0.0, 16, SEED, train.RECIPE)
            asked = train.Asked(None, sampling, goal, rubric, self.reference, settings, "critic", [], 0, "")
            done = train.train(starter.model, asked, train.RewardProgress(steps, "1"))
        facts = {"distance": done.session.distance, "seconds": time.perf_counter() - began,
                 "a step": done.session.seconds / steps}
        print(way.name, facts, flush=True)
        return done.tensors, facts

    def measure(self, lora):
        """What was found in the picture of each scene."""
        import comfy.sd
        import judge
        import torch
        model = self.starter.model
        if lora is not None:
            model = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)[0]
        found = []
        with torch.inference_mode():
            for number, scene in enumerate(self.scenes):
                picture = self.starter.sample(scene.prompt, 1000 + number, model)
                critique = self.critique(picture.movedim(1, -1))
                right = judge.agrees(judge.find(picture[0], scene.ground), scene)
                found.append(Found({way: self.aim(way, critique.measures) for way in WAYS}, critique.score,
                                   {v.criterion.name: v.position for v in critique.verdicts}, right, picture))
        return found

    def critique(self, image):
        default = self.part("critique.rubric").default()
        own = self.part("critique.picture")
        picture = own.Picture.from_images(image).at_longer_side(own.CANONICAL)
        columns = {column for criterion in default.criteria for column in criterion.columns}
        columns |= self.part("critique.score").needed(self.reference, default)
        measures = self.part("critique.critic").numbers(picture, columns=columns)
        return self.part("critique.score").judge(measures, self.reference, default)

    def aim(self, way, measures):
        """The score under the rubric that was trained for, hard."""
        rubric = self.part("critique.language").parse(way.rubric)
        return self.part("critique.score").judge(measures, self.reference, rubric).score


def change(old, new):
    """(mean before, mean after, change in standard deviations of before, its standard error in them)"""
    spread = statistics.pstdev(old) or 1.0
    apart = [b - a for a, b in zip(old, new, strict=True)]
    error = statistics.stdev(apart) / len(apart) ** 0.5 / spread if len(apart) > 1 else 0.0
    return statistics.mean(old), statistics.mean(new), statistics.mean(apart) / spread, error


def publish(before, runs, options):
    rows, others = [], []
    for way, facts, after in runs:
        old, new, sd, error = change(*([each.aims[way] for each in side] for side in (before, after)))
        right = [100 * statistics.mean(each.right for each in side) for side in (before, after)]
        moved = statistics.mean((a.picture - b.picture).square().mean().sqrt().item()
                                for a, b in zip(before, after, strict=True))
        rows.append((way.name, f"{old:.1f}", f"{new:.1f}", f"{sd:+.2f} ± {error:.2f}", f"{right[0]:.1f} %",
                     f"{right[1]:.1f} %", f"{facts['distance']:.3f}", f"{moved:.3f}", f"{facts['a step']:.2f}"))
        others.append((way.name, untargeted(before, after)))
    names = [name for name, _, _ in others[0][1]]
    by_name = [dict((name, f"{sd:+.2f} ± {error:.2f}") for name, sd, error in each) for _, each in others]
    timing.publish(
        "critic_training", "Training with the critic on held-out prompts",
        f"The starter, a new LoRA of rank 16, {options.steps} steps of {BATCH} pictures on {PROMPTS} seen prompts, "
        f"K of 1; then {len(before)} unseen prompts, one picture each, {SAMPLING_STEPS} Euler steps, guidance 3, "
        "same seeds before and after. The criterion is Art Critique's score under the rubric, 0..100. Changes are in "
        "standard deviations of the pictures before, with standard errors.",
        timing.table(["rewarded", "criterion before", "after", "change", "prompt right before", "after",
                      "distance of predictions", "pixels moved (rms)", "seconds a step"], rows),
        "What else moved, as positions among the paintings; a criterion that shares columns with the rewarded one "
        "moves with it. The last line is the score under the default rubric:",
        timing.table(["not aimed at", *(name for name, _ in others)],
                     [(name, *(each[name] for each in by_name)) for name in names]))


def untargeted(before, after):
    """[(criterion, change in sd, standard error)]"""
    found = []
    for name in before[0].positions:
        old, new = ([each.positions[name] for each in side] for side in (before, after))
        if all(value is not None for value in (*old, *new)) and statistics.pstdev(old) > 1e-9:
            found.append((name, *change(old, new)[2:]))
    scores = change(*([each.score for each in side] for side in (before, after)))
    return [*found, ("default score", *scores[2:])]


if __name__ == "__main__":
    main()
