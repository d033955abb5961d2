"""Training with the critic: what held-out prompts earn before and after, and what it costs elsewhere.

A new LoRA is trained on seen prompts for one criterion, once for each penalty in turn, from the loosest, until one
costs no more than MOST_LOST of the right prompts of CHOOSING pictures. That one is then measured on other prompts and
other seeds. None of these prompts has a combination of shapes, colours, ground and style that the starter was trained
on, and each is drawn with the same seed before and after. The criterion is measured as Art Critique measures it, not
in the soft form that was climbed. The prompt check is the judge of the starter that drew. Variety, whose second-order
edge entropy takes most of a critique's time, is left out.
"""
import statistics
import time
from typing import NamedTuple

import timing
from drawn_by import parsed
from on_starter import OnStarter, opened

PROMPTS, BATCH = 16, 2
FLAT = {"pictures": 64, "choosing": 20, "steps": 30, "sampling_steps": 10, "ways": 5}
PAINTER = {"pictures": 20, "choosing": 20, "steps": 16, "sampling_steps": 12, "ways": 2}
TRAINING_SEED, CHOOSING_SEED, JUDGED_SEED = 101, 202, 303
PENALTIES, MOST_LOST = (10.0, 30.0, 100.0), 5.0     # points of right prompts
SATURATION, BALANCE = '*=0; "mean S channel"=high', "*=0; Balance=high"
DRAFT, REFL = "DRaFT: the last steps", "ReFL: one random step"
WHOLE, FITTED = "VAE", "fitted to the VAE"
REST = "Variety=0"


class Way(NamedTuple):
    """As on the node."""
    rubric: str
    method: str
    decoder: str = WHOLE

    @property
    def name(self):
        through = "" if self.decoder == WHOLE else ", through the map fitted to the VAE"
        return f"{self.rubric.removeprefix('*=0; ')}, {self.method.partition(':')[0]}{through}"


WAYS = [Way(SATURATION, DRAFT), Way(BALANCE, REFL), Way(SATURATION, DRAFT, FITTED), Way(SATURATION, REFL),
        Way(BALANCE, DRAFT)]


class Found(NamedTuple):
    """What one picture is. aims: the score under each rubric, hard; right: by the prompt check; score, positions: under
    REST, where asked for."""
    aims: dict
    right: bool
    picture: object
    score: float = 0.0
    positions: dict = {}


class Try(NamedTuple):
    """A training. seconds: of the processor, a step; after: what it makes of the pictures to choose by."""
    penalty: float
    lora: dict
    distance: float
    seconds: float
    after: list


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--pictures", type=int, help="held-out pictures before and after")
    parser.add_argument("--choosing", type=int, help="pictures that the penalty is chosen by")
    parser.add_argument("--steps", type=int, help="steps of each training")
    parser.add_argument("--sampling-steps", type=int, help="of the sampler, in training too")
    parser.add_argument("--ways", type=int, help="how many of the ways to train are tried")
    options = parsed(parser, FLAT, PAINTER)
    with opened(Studio, options) as studio:
        asides, before = studio.measure(None, studio.choosing), studio.measure(None, studio.judged, thorough=True)
        runs = []
        for way in WAYS[:options.ways]:
            tries = studio.tries(way, asides)
            runs.append((way, tries, studio.measure(tries[-1].lora, studio.judged, thorough=True)))
            publish(studio.starter, asides, before, runs, options)


class Studio(OnStarter):
    """The starter, prompts to train on, and two sets of (scene, seed) that it was never trained on."""

    def __init__(self, pack, folder, options):
        super().__init__(pack, folder, options.sampling_steps, options.drawn_by)
        self.steps, starter = options.steps, self.starter
        choosing = starter.unseen(options.choosing, CHOOSING_SEED)
        known = {starter.caption(scene) for scene in choosing}
        judged = [scene for scene in starter.unseen(2 * options.pictures, JUDGED_SEED)
                  if starter.caption(scene) not in known][:options.pictures]
        self.choosing, self.judged = ([(scene, 1000 * seed + number) for number, scene in enumerate(scenes)]
                                      for scenes, seed in ((choosing, CHOOSING_SEED), (judged, JUDGED_SEED)))
        self.prompts = [starter.caption(scene) for scene in starter.seen(PROMPTS, TRAINING_SEED)]
        self.reference = self.part("critique.reference.distributions").paintings()

    def tries(self, way, before):
        """Trainings with ever more penalty, the last of which loses little."""
        found = []
        for penalty in PENALTIES:
            done, seconds = self.climb(way, penalty)
            found.append(Try(penalty, done.tensors, done.session.distance, seconds,
                             self.measure(done.tensors, self.choosing)))
            lost = right(before) - right(found[-1].after)
            print(f"{way.name}, penalty {penalty:g}: {aimed(way, before, found[-1].after)}, {lost:.1f} points lost, "
                  f"{seconds:.2f} s a step, distance {done.session.distance:.2g}", flush=True)
            if lost <= MOST_LOST:
                break
        return found

    def climb(self, way, penalty):
        """(what the node's training gives, seconds of the processor a step)"""
        import torch
        training = self.part("studio.critic_training.critic_training_run")
        session = self.part("studio.critic_training.critic_training_session")
        rewards = self.part("studio.gradient.reward")
        with torch.inference_mode():
            starter, rubric = self.starter, self.part("critique.rubric.rubric_language").parse(way.rubric)
            positive = [entry for prompt in self.prompts for entry in starter.encode(prompt)]
            seen = self.part("studio.gradient.latent_decoder").decoder(starter.model, way.decoder, starter.vae)
            reward = rewards.reward(rewards.named(rubric), self.reference, seen.detail)
            goal = session.RewardGoal(reward, seen, way.method, 1, penalty)
            sampling = self.part("studio.sampling").Sampling(
                positive, starter.empty, starter.latent, starter.vae, starter.steps, starter.guidance, "euler",
                "simple")
            settings = self.part("training.plan.settings").Settings(
                self.steps, BATCH, 0.0, 16, TRAINING_SEED, training.RECIPE)
            request = training.CriticTrainingRequest(None, sampling, goal, rubric, self.reference, settings, "critic",
                                                     [], 0, "")
            began = time.process_time()
            done = training.train(starter.model, request, training.RewardProgress(self.steps, "1"))
        return done, (time.process_time() - began) / self.steps

    def measure(self, lora, pictures, thorough=False):
        """What was found in the picture of each scene and seed."""
        import comfy.sd
        import torch
        model = self.starter.model
        if lora is not None:
            model = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)[0]
        found = []
        with torch.inference_mode():
            for scene, seed in pictures:
                picture = self.starter.picture(self.starter.caption(scene), seed, model)
                found.append(self.judge(picture, self.starter.right(picture[0], scene), thorough))
        return found

    def judge(self, image, agrees, thorough):
        critic, score = self.part("critique.examination"), self.part("critique.score.judge")
        rubrics = {
            text: self.part("critique.rubric.rubric_language").parse(text) for text in (SATURATION, BALANCE, REST)
        }
        asked = {text: rubric for text, rubric in rubrics.items() if thorough or text != REST}
        columns = {column for rubric in asked.values() for column in score.needed(self.reference, rubric)}
        measures = critic.measured(image, columns)
        critiques = {text: score.judge(measures, self.reference, rubric) for text, rubric in asked.items()}
        aims = {text: critiques[text].score for text in (SATURATION, BALANCE)}
        if not thorough:
            return Found(aims, agrees, image)
        positions = {v.criterion.name: v.position for v in critiques[REST].counted}
        return Found(aims, agrees, image, critiques[REST].score, positions)


def right(found):
    """Per cent"""
    return 100 * statistics.mean(each.right for each in found)


def aimed(way, before, after):
    """The change of what was asked for, in standard deviations of the pictures before, with its standard error."""
    return shown(*change(*([each.aims[way.rubric] for each in side] for side in (before, after))))


def change(old, new):
    spread = statistics.pstdev(old) or 1.0
    apart = [b - a for a, b in zip(old, new, strict=True)]
    error = statistics.stdev(apart) / len(apart) ** 0.5 / spread if len(apart) > 1 else 0.0
    return statistics.mean(apart) / spread, error


def shown(value, error):
    return f"{value:+.2f} ± {error:.2f}"


def untargeted(before, after):
    """{criterion: change}"""
    found = {}
    for name in before[0].positions:
        old, new = ([each.positions[name] for each in side] for side in (before, after))
        if all(value is not None for value in (*old, *new)) and statistics.pstdev(old) > 1e-9:
            found[name] = shown(*change(old, new))
    return {**found, "score": shown(*change(*([each.score for each in side] for side in (before, after))))}


def row(way, chosen, before, after):
    old, new = (statistics.mean(each.aims[way.rubric] for each in side) for side in (before, after))
    kept = [(b.right - a.right) * 100 for a, b in zip(before, after, strict=True)]
    moved = statistics.mean((a.picture - b.picture).square().mean().sqrt().item()
                            for a, b in zip(before, after, strict=True))
    error = statistics.stdev(kept) / len(kept) ** 0.5
    return (way.name, f"{chosen.penalty:g}", f"{old:.1f}", f"{new:.1f}", aimed(way, before, after),
            f"{right(before):.1f} %", f"{right(after):.1f} %", f"{statistics.mean(kept):+.1f} ± {error:.1f}",
            f"{chosen.distance:.3f}", f"{moved:.3f}", f"{chosen.seconds:.2f}")


def publish(starter, asides, before, runs, options):
    choices = [(way.name, f"{each.penalty:g}" + " (chosen)" * (each is tries[-1]),
                aimed(way, asides, each.after), f"{right(each.after) - right(asides):+.1f}")
               for way, tries, _ in runs for each in tries]
    others = [untargeted(before, after) for _, _, after in runs]
    timing.publish(
        f"critic_training{starter.suffix}", "Training with the critic on held-out prompts",
        f"{starter.name.capitalize()}, a new LoRA of rank 16 at the usual rate, {options.steps} steps of {BATCH} "
        f"pictures on {PROMPTS} seen prompts, K of 1; then {len(before)} unseen prompts, one picture each, "
        f"{starter.steps} Euler steps, guidance {starter.guidance:g}, same seeds before and after. The criterion is "
        "Art Critique's score under the rubric, 0..100. Changes are in standard deviations of the pictures before, "
        "with standard errors; right prompts in points. Seconds are the processor's, of one thread, "
        "self-check included.",
        timing.table(["rewarded", "penalty", "criterion before", "after", "change", "prompts right before", "after",
                      "points", "distance of predictions", "pixels moved (rms)", "seconds a step"],
                     [row(way, tries[-1], before, after) for way, tries, after in runs]),
        f"The penalty is the first of {', '.join(f'{each:g}' for each in PENALTIES)} that costs at most {MOST_LOST:g} "
        f"points of right prompts on {len(asides)} pictures of other unseen prompts and other seeds, or the last:",
        timing.table(["rewarded", "penalty", "change there", "right prompts there (points)"], choices),
        "What else moved in the judged pictures, as positions among the paintings; a criterion that shares columns "
        "with the rewarded one moves with it. Variety was not measured; the score is that of the default rubric "
        "without it:",
        timing.table(["not aimed at", *(way.name for way, _, _ in runs)],
                     [(name, *(each[name] for each in others)) for name in others[0]]))


if __name__ == "__main__":
    main()
