"""What guidance does: each criterion steered on the starter, and what that does to everything else.

The same prompts and noises are sampled without and with guidance, which sees through a linear map fitted to the VAE;
strengths were chosen on other prompts and noises, of the flat starter. What a prompt leaves open bounds what guidance
can honestly move: beside each shift, with its standard error, stands how far two noises of one prompt lie apart.
Every picture is measured at 1024 pixels by the measures of the critique, not by their soft forms, and held against
other pictures of the same starter, because colour harmony and the thirds have no published distribution. The slow
measures (orientation entropies, PHOG, fractals, permutations) are left out. Shifts are in standard deviations of
the unguided pictures; a criterion is read as the node reads it when more of it is wanted. The prompt check is the judge
of the starter that drew. Held out is what no criterion measures: the error with which the starter, unguided, denoises
the finished picture, at fixed noises.
"""
import time
from functools import partial
from statistics import median

import timing
from drawn_by import parsed

FLAT, PAINTER = {"pictures": 64, "reference": 64}, {"pictures": 24, "reference": 32, "steps": 12}
BATCH = 16
ANEW = 10_000                     # the seed of other noises for the same prompts
LEVELS, NOISES = (0.2, 0.4, 0.6), 2
HARMONIES = tuple(f"Harmony {template}" for template in ("i", "V", "L", "I", "Y"))
COLUMNS = ("RMS contrast", "Luminance entropy", "Edge density", "Color entropy", "mean S channel", "std a channel",
           "std b channel (Lab)", "mean b channel (Lab)", "std S channel", "Mirror symmetry", "DCM distance",
           "Balance", "Tilt", "Slope Redies", "Homogeneity", "Colorfulness", "Warm-cold contrast",
           "Complementary contrast", *HARMONIES, "Likeness left-right", "Symmetry left-right", "Saliency entropy",
           "Saliency peak share", "Coherence", "Obliqueness", "Dark share", "Thirds distance")
ALONE = ("Symmetry left-right", "Colorfulness", "Thirds distance", "mean b channel (Lab)")  # steered as single columns
FEWER = ("Thirds distance",)  # of which less is asked for
TARGETS = {  # what is steered: its rubric and what departs from the node's defaults
    "Balance": ("Balance=high", {"strength": 14}),
    "Value": ("Value=high", {"strength": 12}),
    "Colour richness": ("Colour richness=high", {"strength": 18}),
    "Thirds distance": ("Thirds distance=low", {"strength": 30}),
    "Symmetry left-right": ("Symmetry left-right=high",
                            {"strength": 60, "norm_limit": 0.6, "start": 0.94, "push": 0.03, "pixel_limit": 0.1}),
    "Symmetry": ("Symmetry=high",
                 {"strength": 60, "norm_limit": 0.5, "start": 0.94, "push": 0.03, "pixel_limit": 0.12}),
    "Colour harmony": ("Colour harmony=high", {"strength": 50, "norm_limit": 0.2, "start": 0.75}),
    "Texture": ("Texture=high", {"strength": 20}),
    "mean b channel (Lab)": ('"mean b channel (Lab)"=high', {"strength": 14}),
}


def main():
    parser = timing.parser(__doc__, 3)
    parser.add_argument("--pictures", type=int, help="that are steered")
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--scenes", type=int, default=1, help="the seed of the prompts")
    parser.add_argument("--noise", type=int, default=0, help="the first seed of the noises")
    parser.add_argument("--reference", type=int, help="other pictures that they are held against")
    parser.add_argument("--steps", type=int, help="of the sampler; else those of the starter's own evaluation")
    options = parsed(parser, FLAT, PAINTER)
    pack = timing.start_host("../starter")
    with timing.output_folder() as folder:
        import comfy.utils
        comfy.utils.PROGRESS_BAR_ENABLED = False
        bench = Bench(pack, folder, options)
        rows = {}
        for name in options.targets:
            rows[name] = bench.row(name, options.rounds)
            bench.publish(rows)  # after each, because all together take long


class Bench:
    def __init__(self, pack, folder, options):
        import torch
        self.torch = torch
        self.part = partial(timing.part, pack)
        with torch.inference_mode():
            self.starter = options.drawn_by(folder, options.steps)
        self.rubric = self.part("critique.rubric.rubric_language").parse(
            "; ".join(rubric for name, (rubric, _) in TARGETS.items() if name not in ALONE))
        others = self.starter.unseen(options.reference, 77)
        self.reference = self._fit(self.draw(self.starter.model, others, 900))
        self.scenes, self.noise = self.starter.unseen(options.pictures, options.scenes), options.noise
        self.plain = self.draw(self.starter.model, self.scenes, self.noise)
        self.before = self.judged(self.plain)
        self.others = self.judged(self.draw(self.starter.model, self.scenes, self.noise + ANEW))

    def draw(self, model, scenes, seed):
        """[N, H, W, 3], batches of BATCH, each picture with its own prompt and noise."""
        import comfy.sample

        import nodes
        torch, starter, done = self.torch, self.starter, []
        side = starter.size // 8
        with torch.inference_mode():
            for at in range(0, len(scenes), BATCH):
                part = scenes[at:at + BATCH]
                words = [starter.encode(starter.caption(scene))[0] for scene in part]
                words = [[torch.cat([each[0] for each in words]),
                          {"pooled_output": torch.cat([each[1]["pooled_output"] for each in words])}]]
                noise = torch.randn(len(part), 16, side, side, generator=torch.Generator().manual_seed(seed + at))
                empty = comfy.sample.fix_empty_latent_channels(model, torch.zeros_like(noise))
                latent = comfy.sample.sample(model, noise, starter.steps, starter.guidance, "euler", "simple", words,
                                             starter.empty, empty, disable_pbar=True, seed=seed)
                done.append(nodes.VAEDecode().decode(starter.vae, {"samples": latent})[0])
        return torch.cat(done)

    def measured(self, images):
        """{column: number} of each picture."""
        own, measures, found = self.part("critique.picture.planes"), self.part("critique.measures").MEASURES, []
        for image in images.split(1):
            picture = own.Picture.from_images(image).at_longer_side(own.CANONICAL)
            found.append({name: measures[name](picture).item() for name in COLUMNS})
        return found

    def _fit(self, images):
        reference = self.part("critique.reference.distributions")
        rows = self.torch.tensor([list(each.values()) for each in self.measured(images)], dtype=self.torch.float64)
        scored = [name for name in reference.SCORED if name in COLUMNS]
        return reference.fit(self.starter.name, "", list(COLUMNS), rows, scored)

    def judged(self, images):
        """{what: [N]}: positions of the criteria and of single columns, right prompts, the starter's own error."""
        measured, score = self.measured(images), self.part("critique.score.judge")
        verdicts = [score.judge(each, self.reference, self.rubric).verdicts for each in measured]
        found = {verdict.criterion.name: [each[number].position for each in verdicts]
                 for number, verdict in enumerate(verdicts[0]) if verdict.position is not None}
        found |= {name: [each[name] for each in measured] for name in ALONE}
        found["right"] = [100.0 * self.starter.right(image, scene)
                          for image, scene in zip(images, self.scenes, strict=False)]
        found["surprise"] = self.surprise(images)
        return {name: self.torch.tensor(values, dtype=self.torch.float64) for name, values in found.items()}

    def surprise(self, images):
        """The starter's error of the velocity on finished pictures, given their prompts."""
        import nodes
        torch, model = self.torch, self.starter.model.model
        errors = []
        with torch.inference_mode():
            for number, (image, scene) in enumerate(zip(images, self.scenes, strict=False)):
                latent = nodes.VAEEncode().encode(self.starter.vae, image[None])[0]["samples"]
                clean, words = model.process_latent_in(latent), self.starter.encode(self.starter.caption(scene))[0]
                noise = torch.randn(NOISES, *clean.shape[1:], generator=torch.Generator().manual_seed(number))
                total = 0.0
                for level in LEVELS:
                    sigma = torch.full((NOISES,), level)
                    guess = model.apply_model(level * noise + (1 - level) * clean, sigma,
                                              c_crossattn=words[0].expand(NOISES, -1, -1),
                                              y=words[1]["pooled_output"].expand(NOISES, -1))
                    total += (guess - clean).square().mean().item()
                errors.append(total / len(LEVELS))
        return errors

    def guided(self, name):
        """The starter under the node's own defaults but for what the target changes."""
        rubric, changed = TARGETS[name]
        node = self.part("studio.nodes").Steer
        defaults = {each.id: each.default for each in node.define_schema().inputs if hasattr(each, "default")}
        inputs = {key: value for key, value in defaults.items() if value is not None}
        return node.execute(**inputs | dict(model=self.starter.model, rubric=rubric, reference=self.reference,
                                            vae=self.starter.vae) | changed).args[0]

    def row(self, name, rounds):
        """{what: shift in standard deviations}, with the cost of a step."""
        began, model = time.perf_counter(), self.guided(name)
        after = self.judged(self.draw(model, self.scenes, self.noise))
        shifts = {what: self.shift(what, after) for what in after}
        shifts["error"] = self.error(name, after)
        shifts["cost"] = self.cost(model, rounds)
        shown = {what: round(value, 2) for what, value in shifts.items()}
        print(name, f"{time.perf_counter() - began:.0f} s", shown, flush=True)
        return shifts

    def shift(self, what, after):
        before = self.before[what]
        change = (after[what] - before).mean().item()
        return change if what == "right" else change / before.std().clamp(min=1e-9).item()

    def error(self, what, after):
        """The standard error of a shift, over the pairs of pictures."""
        change = after[what] - self.before[what]
        return (change.std() / len(change) ** 0.5 / self.before[what].std().clamp(min=1e-9)).item()

    def open(self, what):
        """How far other noises take a criterion, the prompt kept, in standard deviations of all pictures."""
        apart = (self.others[what] - self.before[what]).square().mean() / 2
        return apart.sqrt().item() / self.before[what].std().clamp(min=1e-9).item()

    def cost(self, model, rounds):
        """How many times longer the sampling of one picture takes."""
        scene = self.scenes[:1]
        times = timing.interleave({name: timing.timed(lambda each=each: self.draw(each, scene, self.noise))
                                   for name, each in (("plain", self.starter.model), ("guided", model))}, rounds)
        return timing.ratio(times["guided"], times["plain"])

    def publish(self, rows):
        def aim(name):
            return rows[name][name] * (-1 if name in FEWER else 1)

        header = ("steered", "rubric", "departs from the defaults", "shift asked for (sd)", "noises of a prompt (sd)",
                  "right prompts (points)", "own error (sd)", "cost (ratio)")
        first = timing.table(header, [
            (name, f"`{TARGETS[name][0]}`", ", ".join(f"{key} {value}" for key, value in TARGETS[name][1].items()),
             f"{aim(name):+.2f} ± {row['error']:.2f}", f"{self.open(name):.2f}", f"{row['right']:+.1f}",
             f"{row['surprise']:+.2f}", f"{row['cost']:.2f}") for name, row in rows.items()])
        others = [what for what in self.before if what not in ("right", "surprise", *ALONE)]
        second = timing.table(("steered", *others), [
            (name, *(f"{row[what]:+.2f}" for what in others)) for name, row in rows.items()])
        right = self.before["right"].mean().item()
        usual = median(row["cost"] for row in rows.values())
        timing.publish(f"steering{self.starter.suffix}", f"Critique guidance on {self.starter.name}",
                       f"{len(self.plain)} unseen prompts, {self.starter.steps} steps, held against "
                       f"{self.reference.count} others. Without guidance {right:.1f} % of the prompts are right. "
                       f"Median cost {usual:.2f} times the unguided sampling.",
                       first, "## What happened to every criterion (sd)", second,
                       __doc__.split("\n\n", 1)[1].strip())


if __name__ == "__main__":
    main()
