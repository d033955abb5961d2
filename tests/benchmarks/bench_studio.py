"""The studio's claims: shares of blocks, and what the best of 8 is worth.

Shares: a weak LoRA in every part of the first three blocks, one part of it planted strongly, each part in turn. Best of
8: disjoint groups of 8 pictures against the order statistic of the whole pool. All seeds are fixed.
"""
import statistics

import timing
from drawn_by import Flat, parsed
from on_starter import OnStarter, opened

FLAT, PAINTER = {"pool": 128, "planted": 6, "steps": 12}, {"pool": 96, "planted": 3, "steps": 12}
PARTS = [f"J0{block}.{part}" for block in range(3) for part in ("attn", "mlp")]
PLANTED_IN = tuple(f"diffusion_model.joint_blocks.{block}.x_block." for block in range(3))
CHEAP = "*=0; Balance=1; Value=1; Symmetry=1; Colour richness=1"


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--pool", type=int, help="pictures that the best of 8 are taken from")
    parser.add_argument("--planted", type=int, help="parts that are planted, one after another")
    parser.add_argument("--steps", type=int, help="of the sampler")
    options = parsed(parser, FLAT, PAINTER)
    with opened(Studio, options.drawn_by, options.steps) as studio:
        import torch
        with torch.inference_mode():
            best = studio.best(options.pool)
            publish(studio.starter, best)
            publish(studio.starter, [*studio.shares(options.planted), *best])


def publish(starter, parts):
    timing.publish(f"studio{starter.suffix}", f"What the studio's claims are worth on {starter.name}",
                   f"{starter.size} x {starter.size} pictures, {starter.steps} steps, guidance "
                   f"{starter.guidance:g}, fixed seeds.", *parts)


class Studio(OnStarter):
    """What the studio is asked with."""

    def __init__(self, pack, folder, drawn_by: type[Flat], steps: int):
        super().__init__(pack, folder, steps, drawn_by)

    def sampling(self, prompts):
        words = [entry for prompt in prompts for entry in self.starter.encode(prompt)]
        starter = self.starter
        return self.part("studio.sampling").Sampling(words, starter.empty, starter.latent, starter.vae, starter.steps,
                                                     starter.guidance, "euler", "simple")

    def grouped(self, tensors, groups):
        file = self.part("lora.file.lora_files").LoraFile(tensors, {})
        return self.part("studio.block_groups").group_blocks(self.starter.model, file, 1.0, groups)

    def paintings(self):
        return self.part("critique.reference.distributions").paintings()

    def planted(self, number):
        """A weak random LoRA in every part, ten times as strong in PARTS[number]."""
        import torch
        generator, tensors = torch.Generator().manual_seed(11), {}
        block, part = divmod(number, 2)
        strong = f"joint_blocks.{block}.x_block.{('attn', 'mlp')[part]}."
        for key, weight in self.starter.model.model.state_dict().items():
            if key.startswith(PLANTED_IN) and key.endswith(("qkv.weight", "proj.weight", "fc1.weight", "fc2.weight")):
                name, size = key.removesuffix(".weight"), 0.3 if strong in key else 0.03
                tensors[f"{name}.lora_up.weight"] = torch.randn(weight.shape[0], 2, generator=generator) * size
                tensors[f"{name}.lora_down.weight"] = torch.randn(2, weight.shape[1], generator=generator) * 0.1
        return tensors

    def settings(self, prompts, seeds):
        return self.part("studio.block_effect.observations").EffectSettings(
            self.sampling(prompts),
            0,
            seeds,
            self.paintings(),
            self.part("critique.rubric.rubric_language").parse("*=0; Balance=1"),
        )

    def shares(self, planted):
        """Which part is named when each is planted, the gap of the sum, and random orders against all coalitions."""
        attribution = self.part("studio.block_effect.block_attribution")
        effect = self.part("studio.block_effect.observations")
        settings, rows, off = self.settings(self.starter.style_prompts[:1], 1), [], []
        for number, name in enumerate(PARTS[:planted]):
            grouped = self.grouped(self.planted(number), "; ".join(PARTS))
            measurer = effect.CoalitionMeasurer(grouped, attribution.plan_attribution("shapley", 6, 1, 0, 0), settings)
            measurements, _ = attribution.measure_all(measurer.plan, measurer.measure_each(), lambda done: None,
                                                      KeyboardInterrupt)
            exact = attribution.attribute(measurer.plan, measurements)
            gap = abs(exact.by_group.sum(0) - exact.whole).max()
            shares, score = exact.by_group[:, 1], exact.by_group[:, 0]
            by_size, by_score = (PARTS[abs(column).argmax()] for column in (shares, score))
            estimate = self.estimated(measurements)
            off += (abs(estimate.by_group[:, 1] - shares) / estimate.errors[:, 1]).tolist()
            rows.append((name, by_size, by_score, f"{shares[number]:.1f}", f"{sorted(shares)[-2]:.1f}",
                         f"{exact.whole[1]:.1f}", f"{gap:.0e}",
                         f"{abs(estimate.by_group.sum(0) - estimate.whole).max():.0e}"))
            print(*rows[-1], flush=True)
        named = sum(row[0] == row[1] for row in rows)
        return ["## A planted part is named",
                f"Six parts of the first three blocks of {self.starter.name}, 64 coalitions each, {64 * len(rows)} "
                "pictures in all. Shares are of the change in pixels (levels of 255); the gap is the largest of all "
                "quantities between the sum of the shares and the whole.",
                timing.table(["planted", "named by pixels", "named by score", "its share", "next", "whole", "gap",
                              "gap, random orders"], rows),
                f"Named by pixels: {named} of {len(rows)}. Shares from 64 random orders lie {statistics.mean(off):.2f} "
                f"standard errors from the exact ones on average (0.80 expected), {max(off):.1f} at most."]

    def estimated(self, measurements):
        """Shares from 64 random orders of the same attribution."""
        import random
        attribution, rng = self.part("studio.block_effect.block_attribution"), random.Random(0)
        orders = tuple(tuple(rng.sample(range(6), 6)) for _ in range(64))
        return attribution.attribute(attribution.AttributionPlan("shapley", 6, 1, orders), measurements)

    def best(self, pool):
        """The best of disjoint groups of 8 against a random draw and the order statistic of the pool."""
        from comfy_extras.nodes_custom_sampler import BasicScheduler, CFGGuider, KSamplerSelect
        best_of = self.part("studio.best_of")
        starter, prompt = self.starter, self.starter.one_prompt
        guider = CFGGuider.execute(starter.model, starter.encode(prompt), starter.empty, starter.guidance).result[0]
        sampler = KSamplerSelect.execute("euler").result[0]
        sigmas = BasicScheduler.execute(starter.model, "simple", starter.steps, 1.0).result[0]
        graph = best_of.SamplerInputs(guider, sampler, sigmas, starter.latent, starter.vae)
        rubric = self.part("critique.rubric.rubric_language").parse(CHEAP)
        groups = [best_of.choose(best_of.from_seeds(graph, seed, 8), rubric,
                                 self.paintings(), lambda picture, done: None)
                  for seed in range(0, pool // 8 * 8, 8)]
        scores = [[critique.score for critique in group.critiques] for group in groups]
        every = [score for group in scores for score in group]
        bests = [max(group) for group in scores]
        mean, expected = statistics.mean(every), best_of.expected_best(every, 8)
        spread, error = statistics.stdev(every), statistics.stdev(bests) / len(bests) ** 0.5
        return ["## The best of 8",
                f"{len(every)} seeds of one prompt (`{prompt}`) in {len(bests)} groups of 8, rubric `{CHEAP}`.",
                timing.table(["what", "score"], [
                    ("a random draw (mean)", f"{mean:.2f}"), ("its standard deviation", f"{spread:.2f}"),
                    ("best of 8, expected from the pool", f"{expected:.2f}"),
                    ("best of 8, mean of the groups", f"{statistics.mean(bests):.2f} ± {error:.2f}")]),
                f"Gain over a random draw: {statistics.mean(bests) - mean:.2f}, expected {expected - mean:.2f}; the "
                f"difference is {abs(statistics.mean(bests) - expected) / error:.1f} standard errors."]


if __name__ == "__main__":
    main()
