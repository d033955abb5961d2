"""Train LoRA with a critic: is the step it keeps better than the last, and what of spoiled pictures?

Nine woodcuts and three whose colours are inverted are learnt, from several seeds: with a critic who keeps the best
step, also at a rate that is far too high, and with one who weighs the data set as well. The critic holds pictures
against 16 other woodcuts. The prompts it keeps by, and the held-out ones that both steps are judged by, are captions
that no training picture has, and none is in both. Beside the score, the ground of a held-out picture is measured: how
far it is from that of whole woodcuts, of 255, and whether it is nearer to that of inverted ones (`ground` of drawn_by).
"""
import statistics
from typing import NamedTuple

import timing
from drawn_by import parsed
from on_starter import OnStarter, opened

WHOLE, SPOILED, OTHERS, LOOKS, HELD = 9, 3, 16, 3, 10
STEPS, EVERY = 60, 15
FLAT, PAINTER = {"seeds": 3, "sampling_steps": 10}, {"seeds": 2, "sampling_steps": 12}
BLIND = '*=0; Value=1; Colour richness=1; "Edge density"=1'     # to what inverting changes: these columns hardly move
RUBRIC = f'{BLIND}; "mean L channel"=1; "mean b channel (Lab)"=1'


class Course(NamedTuple):
    name: str
    rate: float
    weighting: float = 0.0


PLAIN, HOT = Course("three times the usual rate", 3e-3), Course("twenty times the usual rate", 2e-2)
WEIGHED = Course("three times the usual rate, weighting 2", 3e-3, 2.0)


class Held(NamedTuple):
    """A held-out picture."""
    score: float
    ground: float
    spoiled: bool


class Run(NamedTuple):
    """judged: (step, score) of the sample pictures; best, last: of held-out prompts with either LoRA."""
    judged: list
    step: int
    best: list
    last: list

    @property
    def gain(self) -> float:
        """Points of the kept step over the last one."""
        return mean(self.best, "score") - mean(self.last, "score")


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--seeds", type=int, help="trainings of each course")
    parser.add_argument("--sampling-steps", type=int, help="of the sampler")
    options = parsed(parser, FLAT, PAINTER)
    with opened(Workshop, options) as workshop:
        runs, base = {}, workshop.held_out(None)
        counts = [workshop.picture_weights(critic) for critic in (workshop.critic, workshop.blind)]
        for course in (PLAIN, WEIGHED, HOT):
            runs[course] = [workshop.run(course, seed) for seed in range(options.seeds)]
            publish(workshop.starter, base, runs, *counts)      # after each, because all together take long


class Workshop(OnStarter):
    """The starter, its woodcuts, and a critic who has seen others of them."""

    def __init__(self, pack, folder, options):
        import torch
        super().__init__(pack, folder, options.sampling_steps, options.drawn_by)
        drawn, learnt = self.starter.woodcuts(WHOLE + SPOILED, 0)
        known = set(learnt)
        captions = [caption for seed in (2000, 2001, 2002) for caption in self.starter.woodcut_captions(16, seed)]
        fresh = [caption for caption in dict.fromkeys(captions) if caption not in known]
        self.looks, self.held = fresh[:LOOKS], fresh[LOOKS:LOOKS + HELD]
        with torch.inference_mode():
            self.critic, self.blind = (self.learned_critic(self.starter.woodcuts(OTHERS, 1000)[0], text)
                                       for text in (RUBRIC, BLIND))
            self.learnt = self.training_set(drawn, learnt)

    def learned_critic(self, pictures, text):
        import torch
        own, picture = self.part("critique.examination"), self.part("critique.picture.planes")
        rubric = self.part("critique.rubric.rubric_language").parse(text)
        distributions = self.part("critique.reference.distributions")
        paintings = distributions.paintings()
        columns = sorted(self.part("critique.score.judge").needed(paintings, rubric))
        rows = []
        for each in pictures.split(1):
            drawn = picture.Picture.from_images(each).at_longer_side(picture.CANONICAL)
            found = own.measure_columns(drawn, columns=columns)
            rows.append([found[column] for column in columns])
        rows = torch.tensor(rows, dtype=torch.float64)
        reference = distributions.fit("woodcuts", self.starter.name, columns, rows, columns)
        return self.part("studio.rubric_critic").TrainingCritic(rubric, reference)

    def training_set(self, drawn, captions):
        drawn[WHOLE:] = 1 - drawn[WHOLE:]
        made = self.dataset(self.latents(drawn.movedim(-1, 1)), [self.starter.encode(each) for each in captions])
        names = [f"woodcut {i + 1}" if i < WHOLE else f"inverted {i + 1 - WHOLE}" for i in range(len(drawn))]
        return made._replace(samples=[s._replace(name=n) for s, n in zip(made.samples, names, strict=True)])

    def picture_weights(self, critic):
        """What each picture of the data set counts with a critic."""
        return self.part("training.monitoring.sample_critic").weigh(
            self.learnt, critic, WEIGHED.weighting, self.starter.model.model, self.starter.vae)[1]

    def run(self, course, seed):
        import torch
        recipes, name = self.part("training.plan.recipe"), f"{course.name} {seed}"
        recipe = recipes.Recipe(samples=recipes.SamplePlan(every=EVERY, steps=self.starter.steps,
                                                          cfg=self.starter.guidance))
        with torch.inference_mode():
            prompts = [self.starter.encode(prompt)[0] for prompt in self.looks]
        done = self.train(self.learnt, STEPS, 1, course.rate, 16, seed, recipe, name=name, sample_prompts=prompts,
                          vae=self.starter.vae, critic=self.critic, critic_weighting=course.weighting)
        kept, best = done.step_ranking.step, self.held_out(done.path)
        last = best if kept == STEPS else self.held_out(done.path.replace(".safetensors", "_last.safetensors"))
        made = Run(done.step_ranking.judged, kept, best, last)
        print(name, f"keeps {kept}, held out {mean(best, 'score'):.1f} against {mean(last, 'score'):.1f}, ground "
              f"{mean(best, 'ground'):.1f} against {mean(last, 'ground'):.1f}", flush=True)
        return made

    def held_out(self, path):
        """Pictures of held-out prompts, with the LoRA of a file or without."""
        import comfy.sd
        import torch
        from safetensors.torch import load_file
        model, found = self.starter.model, []
        if path is not None:
            model = comfy.sd.load_lora_for_models(model, None, load_file(path), 1.0, 0.0)[0]
        with torch.inference_mode():
            for number, prompt in enumerate(self.held):
                picture = self.starter.picture(prompt, 500 + number, model)
                score, = self.critic.score(picture)
                found.append(Held(score, *self.starter.ground(picture[0])))
        return found


def mean(held, what):
    return statistics.mean(getattr(each, what) for each in held)


def share_of_inverted(picture_weights):
    return sum(each.weight for each in picture_weights if each.name.startswith("inverted")) / len(picture_weights)


def publish(starter, base, runs, picture_weights, blind):
    rows = [("without a LoRA", "", f"{mean(base, 'score'):.1f}", "", "", "", f"{mean(base, 'ground'):.1f}",
             f"{100 * mean(base, 'spoiled'):.0f} %")]
    rows += [kept_row(course, each) for course, each in runs.items()]
    looks = [(f"{course.name}, seed {seed}", *(f"{j.score:.1f}" + " (best)" * (j.step == run.step) for j in run.judged))
             for course, each in runs.items() for seed, run in enumerate(each)]
    timing.publish(
        f"critic_keeping{starter.suffix}", "Train LoRA with a critic",
        f"{starter.name.capitalize()}, {WHOLE} woodcuts and {SPOILED} inverted ones, {STEPS} steps of one picture, "
        f"{LOOKS} sample prompts every {EVERY} steps; the critic holds pictures against {OTHERS} other woodcuts under "
        f"`{RUBRIC}`. {len(base)} held-out prompts, one picture each, {starter.steps} steps. Means over the "
        "seeds; in brackets what each seed gave; the gain's standard error is over all pairs of pictures.",
        timing.table(["training", "steps kept", "score, last step", "kept step", "gain",
                      f"{starter.ground_is}, last step", "kept step", "inverted grounds, kept step"], rows),
        "Scores of the sample pictures after so many steps:",
        timing.table(["training", *(str(judged.step) for judged in runs[PLAIN][0].judged)], looks),
        f"What each picture counts at a weighting of {WEIGHED.weighting:g}. The inverted ones are "
        f"{SPOILED / (WHOLE + SPOILED):.0%} of the pictures and {share_of_inverted(picture_weights):.0%} of the loss; "
        f"with a critic under `{BLIND}`, who does not see their tones, {share_of_inverted(blind):.0%}:",
        timing.table(["picture", "score", "weight", "score without tones", "weight"],
                     [(a.name, f"{a.score:.1f}", f"{a.weight:.2f}", f"{b.score:.1f}", f"{b.weight:.2f}")
                      for a, b in sorted(zip(picture_weights, blind, strict=True), key=lambda pair: -pair[0].score)]))


def kept_row(course, each):
    pairs = [new.score - old.score for run in each for new, old in zip(run.best, run.last, strict=True)]
    error = statistics.stdev(pairs) / len(pairs) ** 0.5
    gains = ", ".join(f"{run.gain:+.1f}" for run in each)
    over = lambda side, what: statistics.mean(mean(getattr(run, side), what) for run in each)
    return (course.name, ", ".join(str(run.step) for run in each), f"{over('last', 'score'):.1f}",
            f"{over('best', 'score'):.1f}", f"{statistics.mean(pairs):+.1f} ± {error:.1f} ({gains})",
            f"{over('last', 'ground'):.1f}", f"{over('best', 'ground'):.1f}", f"{100 * over('best', 'spoiled'):.0f} %")


if __name__ == "__main__":
    main()
