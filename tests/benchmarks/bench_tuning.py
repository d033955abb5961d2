"""What Tune Blocks is worth on a LoRA as it came from training, beside the whole LoRA and beside a strength slider.

A LoRA of twelve woodcuts, trained on the starter, and the same one with a spoilt block. Weights found by both
searches on four pictures are compared with all ones, and with the best single number for all blocks found on the same
pictures, on held-out seeds. Nothing is chosen on those, so a gain may be negative.
"""
import timing
from bench_studio import CHEAP, Studio
from drawn_by import parsed
from on_starter import opened

RUBRIC, STYLE, SPOILT_STYLE = "as trained, rubric", "as trained, style", "one block spoilt, style"
FLAT = {"held_out": 8, "budget": 24, "steps": 12, "cases": [RUBRIC, STYLE, SPOILT_STYLE]}
PAINTER = {"held_out": 3, "budget": 12, "steps": 12, "cases": [STYLE, SPOILT_STYLE]}
SPOILT, SPOILT_TIMES = "J01", 25
UNIFORM_WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--held-out", type=int, help="held-out seeds of each of the four prompts")
    parser.add_argument("--budget", type=int, help="weights that tuning tries")
    parser.add_argument("--steps", type=int, help="of the sampler")
    parser.add_argument("--cases", nargs="+", choices=FLAT["cases"])
    options = parsed(parser, FLAT, PAINTER)
    with opened(Woodcuts, options.drawn_by, options.steps) as studio:
        import torch
        lora, rows = studio.style(), []
        with torch.inference_mode():
            for case in cases(studio, lora):
                if case[0] not in options.cases:
                    continue
                rows += tuned(studio, *case, options)
                publish(studio.starter, rows, options)


def publish(starter, rows, options):
    """After every case: one takes long."""
    prompts = len(starter.style_prompts)
    timing.publish(
        f"tuning{starter.suffix}", f"What Tune Blocks is worth on a LoRA trained on {starter.name}",
        f"{starter.size} x {starter.size} pictures, {starter.steps} steps, guidance {starter.guidance:g}, fixed seeds.",
        f"A LoRA of the woodcut style ({starter.style_training[0]} steps) as it was trained, and with its block "
        f"{SPOILT} filled with noise. Style: 10 % Balance and 90 % likeness to the twelve woodcuts; rubric: `{CHEAP}`. "
        f"{prompts} pictures a trial, {options.budget} trials, {prompts * options.held_out} held-out pictures, of "
        "which the last column but one counts those that beat all ones. One number: the best of "
        f"{', '.join(map(str, UNIFORM_WEIGHTS))} for all blocks, found on the pictures of the search.",
        timing.table(["LoRA, goal", "search", "weights found", "no LoRA", "all ones", "one number", "tuned",
                      "over all ones", "better on", "over one number"], rows))


class Woodcuts(Studio):
    """With the style that is learnt."""

    def style(self):
        """A LoRA of the woodcut style."""
        import torch
        drawn, captions = self.starter.woodcuts()
        with torch.inference_mode():
            words = [self.starter.encode(caption) for caption in captions]
        dataset = self.dataset(self.latents(drawn.movedim(-1, 1)), words)
        return self.train(dataset, *self.starter.style_training, 8, 1).tensors

    def spoil(self, lora):
        """The LoRA with noise of SPOILT_TIMES its own size in the MLP of one block."""
        import torch
        generator = torch.Generator().manual_seed(3)
        return {key: torch.randn(tensor.shape, generator=generator) * tensor.std() * SPOILT_TIMES
                if f"joint_blocks.{int(SPOILT[1:])}.x_block.mlp" in key and key.endswith("lora_up.weight") else tensor
                for key, tensor in lora.items()}


def cases(studio, lora):
    """(name, LoRA, rubric, what to stay close to, closeness)"""
    likeness = studio.part("studio.tuning.likeness").target(studio.starter.woodcuts()[0], studio.paintings())
    return [(RUBRIC, lora, CHEAP, None, 0.0),
            (STYLE, lora, "*=0; Balance=1", likeness, 0.9),
            (SPOILT_STYLE, studio.spoil(lora), "*=0; Balance=1", likeness, 0.9)]


def tuned(studio, name, lora, rubric, likeness, closeness, options):
    """A row for each search."""
    tune = studio.part("studio.tuning.block_tuning")
    goal = tune.TuningGoal(studio.sampling(studio.starter.style_prompts), 0, 1, 0, studio.paintings(),
                           studio.part("critique.rubric.rubric_language").parse(rubric), likeness, closeness)
    grouped = studio.grouped(lora, "")
    searcher = tune.Tuner(grouped, goal, lambda picture, done: None)
    groups, unseen = len(grouped.groups), goal._replace(held_out=options.held_out).held_out_samples
    level = max((searcher.trial((number,) * groups, goal.search_samples) for number in UNIFORM_WEIGHTS),
                key=lambda trial: trial.value).weights
    none, ones, one_number = (searcher.trial(weights, unseen) for weights in ((0.0,) * groups, (1.0,) * groups, level))
    for method in ("coordinate", "cma"):
        found = tune.Tuner(grouped, goal, lambda picture, done: None).run(method, options.budget, 0)
        best = searcher.trial(found.best.weights, unseen)
        gains, over = (best.marks[:, 0] - other.marks[:, 0] for other in (ones, one_number))
        row = (name, found.method, grouped.spec(found.best.weights).replace("; ", " "), f"{none.value:.2f}",
               f"{ones.value:.2f}", f"{one_number.value:.2f} ({level[0]:g})", f"{best.value:.2f}", with_error(gains),
               f"{(gains > 0).sum()}", with_error(over))
        print(*row, flush=True)
        yield row


def with_error(gains):
    return f"{gains.mean():+.2f} ± {gains.std(ddof=1) / len(gains) ** 0.5:.2f}"


if __name__ == "__main__":
    main()
