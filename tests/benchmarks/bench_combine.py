"""Two styles at once: what each rule that joins LoRAs leaves of both, on the starter with its two LoRAs.

For every unseen prompt the starter draws without a LoRA, with each alone and with both joined by each rule. What a
picture has of a style is the cosine of its change with the change that the style alone makes, both against the picture
without a LoRA.
"""
import timing
from on_starter import OnStarter, opened

PROMPTS, STEPS, SEED = 8, 10, 21
RULES = (("sum", 0.5), ("ties", 0.5), ("dare", 0.5), ("dare ties", 0.5), ("della", 0.5), ("knots", 0.5), ("knots", 1.0))


def main():
    options = timing.parser(__doc__, PROMPTS).parse_args()
    with opened(Workshop, STEPS) as workshop:
        said, rows = workshop.conflict(), workshop.compare(options.rounds)
    timing.publish(
        "combine", "Two styles at once",
        f"The starter's woodcut and night LoRAs at strength 1, {options.rounds} unseen prompts, {STEPS} steps, "
        "guidance 3. Woodcut, night: cosine of the picture's change with that of the LoRA alone. Weaker: the lower of "
        "the two, and how that differs from the sum's with its standard error.",
        timing.table(["rule", "density", "woodcut", "night", "weaker", "against the sum"], rows),
        "How the two LoRAs stand to each other: " + said)


class Workshop(OnStarter):
    """The starter with its two LoRAs, alone and joined."""

    def __init__(self, pack, folder, steps):
        import folder_paths
        import install
        super().__init__(pack, folder, steps)
        folder_paths.add_model_folder_path("loras", str(folder / "models" / "loras"))
        layer = self.part("lora.applying.stack").Layer
        self.layers = [layer(name, 1.0, 1.0) for name in install.LORAS]

    def joined(self, layers, rule="sum", density=0.5):
        how = self.part("lora.patches.combine").Combination(rule, density)
        return self.part("lora.applying.stack").apply_stack(self.starter.model, None, tuple(layers), how=how)

    def conflict(self) -> str:
        report = self.part("lora.applying.conflict_report")
        results = [result.components for _, result in self.joined(self.layers)[2]]
        return "; ".join(line.removeprefix("- ") for line in report.conflict_lines(
            report.conflicts(results, (self.starter.model, None)), [layer.name for layer in self.layers])
            if line != "by block:") + "."

    def compare(self, prompts):
        import evaluate
        import torch
        alone = [self.joined([layer])[0] for layer in self.layers]
        models = {rule: self.joined(self.layers, *rule)[0] for rule in RULES}
        shares = {rule: [] for rule in RULES}
        with torch.inference_mode():
            for seed, scene in enumerate(evaluate.unseen_scenes(prompts, SEED)):
                draw = lambda model, scene=scene, seed=seed: self.starter.picture(scene.prompt, seed, model)[0]
                base = draw(self.starter.model)
                styles = [draw(model) - base for model in alone]
                for rule, model in models.items():
                    change = draw(model) - base
                    shares[rule].append([cosine(change, style) for style in styles])
        weaker = {rule: torch.tensor(found).amin(1) for rule, found in shares.items()}
        return [self.row(rule, torch.tensor(shares[rule]).mean(0), weaker[rule], weaker[RULES[0]])
                for rule in RULES]

    @staticmethod
    def row(rule, share, weaker, of_sum):
        gap = weaker - of_sum
        error = float(gap.std() / len(gap) ** 0.5)
        against = "" if rule == RULES[0] else f"{float(gap.mean()):+.3f} ± {error:.3f}"
        density = "" if rule[0] == "sum" else f"{rule[1]:g}"
        return (rule[0], density, *(f"{float(each):.3f}" for each in (*share, weaker.mean())), against)


def cosine(first, second) -> float:
    import torch
    return float(torch.nn.functional.cosine_similarity(first.flatten(), second.flatten(), 0))


if __name__ == "__main__":
    main()
