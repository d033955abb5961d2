"""Two styles at once: what each rule that joins LoRAs leaves of both, on either starter with its two LoRAs.

For every unseen prompt the starter draws without a LoRA, with each alone and with both joined by each rule. What a
picture has of a style is the cosine of its change with the change that the style alone makes, both against the picture
without a LoRA. "Equal sizes" is the sum at strengths that give both changes the size that they have on average, with
the joint size of the sum of unrelated changes.
"""
import math
from typing import NamedTuple

import timing
from drawn_by import Painter, parsed
from on_starter import OnStarter, opened

STEPS, SEED = 10, 21
STYLES = {"": ("woodcut", "night"), "_painter": ("woodcut", "dots")}


class Rule(NamedTuple):
    """A Combination of the pack; of sums also at other strengths than 1, with `equal` those that make sizes equal."""
    method: str
    density: float = 0.5
    keep_size: bool = True
    equal: bool = False
    strength: float = 1.0

    @property
    def cells(self) -> tuple[str, str, str]:
        if self.method == "sum":
            return "sum" + ", equal sizes" * self.equal + f", both at {self.strength:g}" * (self.strength != 1), "", ""
        return self.method, f"{self.density:g}", "kept" if self.keep_size else "as it comes"


RULES = (Rule("sum"), Rule("sum", strength=0.7), Rule("sum", equal=True), Rule("ties"), Rule("ties", keep_size=False),
         Rule("dare"), Rule("dare", 0.8), Rule("dare", keep_size=False), Rule("dare ties"), Rule("della"),
         Rule("knots"), Rule("knots", 1.0), Rule("knots", 1.0, keep_size=False))


def main():
    options = parsed(timing.parser(__doc__, None), {"rounds": 16}, {"rounds": 6})
    with opened(Workshop, options.drawn_by) as workshop:
        said, rows = workshop.conflict(), workshop.compare(options.rounds)
    first, second = STYLES[options.drawn_by.suffix]
    timing.publish(
        "combine" + options.drawn_by.suffix, f"Two styles at once on {options.drawn_by.name}",
        f"LoRAs of {first} and {second} at strength 1, {options.rounds} unseen prompts, {STEPS} steps, guidance "
        f"{workshop.starter.guidance:g}. {first.capitalize()}, {second}: cosine of the picture's change with that of "
        "the LoRA alone. Weaker: the lower of the two, how that differs from the sum's with its standard error, and of "
        "how many prompts it is lower than the sum's. Size: whether the joint change is brought to the size that "
        "unrelated changes have together (`keep_size`).",
        timing.table(["rule", "density", "size", first, second, "weaker", "against the sum", "lower on"], rows),
        "How the two LoRAs stand to each other: " + said)


class Workshop(OnStarter):
    """A starter with its two LoRAs, alone and joined."""

    def __init__(self, pack, folder, drawn_by):
        import folder_paths
        import install
        from painter.install import LORAS
        super().__init__(pack, folder, STEPS, drawn_by)
        folder_paths.add_model_folder_path("loras", str(folder / "models" / "loras"))
        self.names = sorted((path.name for path in LORAS), reverse=True) if drawn_by is Painter else list(install.LORAS)

    def layers(self, rule: Rule):
        layer = self.part("lora.applying.stack").Layer
        sizes = [self.size(name) if rule.equal else 1.0 for name in self.names]
        mean = rule.strength * math.sqrt(sum(size ** 2 for size in sizes) / len(sizes))
        return [layer(name, mean / size, 0.0) for name, size in zip(self.names, sizes, strict=True)]

    def size(self, name: str) -> float:
        """The Frobenius norm of all that a LoRA changes in the model."""
        stack = self.part("lora.applying.stack")
        results = self.joined([stack.Layer(name, 1.0, 0.0)])[2]
        norm = self.part("lora.patches.energy").change_norm
        entries = stack.entries([result.components[0] for _, result in results])
        return math.sqrt(sum(norm(entry.patch) ** 2 for entry in entries))

    def joined(self, layers, rule: Rule = RULES[0]):
        how = self.part("lora.patches.combine").Combination(rule.method, rule.density, rule.keep_size)
        return self.part("lora.applying.stack").apply_stack(self.starter.model, None, tuple(layers), how=how)

    def conflict(self) -> str:
        report = self.part("lora.applying.conflict_report")
        results = [result.components for _, result in self.joined(self.layers(RULES[0]))[2]]
        return "; ".join(line.removeprefix("- ") for line in report.conflict_lines(
            report.conflicts(results, (self.starter.model, None)), self.names) if line != "by block:") + "."

    def compare(self, prompts):
        import torch
        scenes = self.starter.unseen(prompts, SEED)
        base = self.drawn(self.starter.model, scenes)
        styles = [self.drawn(self.joined([layer])[0], scenes) - base for layer in self.layers(RULES[0])]
        shares = {}
        for rule in RULES:
            change = self.drawn(self.joined(self.layers(rule), rule)[0], scenes) - base
            shares[rule] = torch.stack([cosine(change, style) for style in styles], 1)
        weaker = {rule: found.amin(1) for rule, found in shares.items()}
        return [self.row(rule, shares[rule].mean(0), weaker[rule], weaker[RULES[0]]) for rule in RULES]

    def drawn(self, model, scenes):
        """[B, H, W, 3]; one model draws all its pictures at once, because joining takes as long as drawing."""
        import torch
        with torch.inference_mode():
            return torch.cat([self.starter.picture(self.starter.caption(scene), seed, model)
                              for seed, scene in enumerate(scenes)])

    @staticmethod
    def row(rule, share, weaker, of_sum):
        gap = weaker - of_sum
        error = float(gap.std() / len(gap) ** 0.5)
        cells = *rule.cells, *(f"{float(each):.3f}" for each in (*share, weaker.mean()))
        return *cells, *(("", "") if rule == RULES[0] else
                         (f"{float(gap.mean()):+.3f} ± {error:.3f}", str(int((gap < 0).sum()))))


def cosine(first, second):
    """[B] of two batches of changes."""
    import torch
    return torch.nn.functional.cosine_similarity(first.flatten(1), second.flatten(1), 1)


if __name__ == "__main__":
    main()
