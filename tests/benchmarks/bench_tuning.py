"""What Tune Blocks is worth on a LoRA as it came from training, beside the whole LoRA and beside a strength slider.

A LoRA of the woodcut style, trained on the starter, and the same one with a spoilt block. Weights found by both
searches on four pictures are compared with all ones, and with the best single number for all blocks found on the same
pictures, on held-out seeds. Nothing is chosen on those, so a gain may be negative.
"""
import timing
from bench_studio import CHEAP, PROMPTS, Studio
from on_starter import opened

SPOILT, SPOILT_TIMES = "J01", 25
UNIFORM_WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


def main():
    parser = timing.parser(__doc__, 1)
    parser.add_argument("--held-out", type=int, default=8, help="held-out seeds of each of the four prompts")
    parser.add_argument("--budget", type=int, default=24, help="weights that tuning tries")
    options = parser.parse_args()
    with opened(Woodcuts) as studio:
        import torch
        lora, rows = studio.style(), []
        with torch.inference_mode():
            for case in cases(studio, lora):
                rows += tuned(studio, *case, options)
                publish(rows, options)


def publish(rows, options):
    """After every case: one takes long."""
    held_out = len(PROMPTS) * options.held_out
    timing.publish(
        "tuning", "What Tune Blocks is worth on a trained LoRA", "Starter, 128 x 128 pictures, fixed seeds.",
        "A LoRA of the woodcut style (80 steps) as it was trained, and with its block "
        f"{SPOILT} filled with noise. Style: 10 % Balance and 90 % likeness to the twelve woodcuts; rubric: `{CHEAP}`. "
        f"{len(PROMPTS)} pictures a trial, {options.budget} trials, {held_out} held-out pictures. One number: the best "
        f"of {', '.join(map(str, UNIFORM_WEIGHTS))} for all blocks, found on the pictures of the search.",
        timing.table(["LoRA, goal", "search", "weights found", "no LoRA", "all ones", "one number", "tuned",
                      "over all ones", "better on", "over one number"], rows))


class Woodcuts(Studio):
    """With the style that is learnt."""

    def drawn(self):
        import torch
        import woodcut
        return torch.stack([woodcut.draw_woodcut(thing) for thing in woodcut.things()])

    def style(self, steps=80):
        """A LoRA of the woodcut style."""
        import torch
        import woodcut
        with torch.inference_mode():
            captions = [self.starter.encode(woodcut.caption(thing)) for thing in woodcut.things()]
        return self.train(self.dataset(self.latents(self.drawn()), captions), steps, 4, 0.002, 8, 1).tensors

    def spoil(self, lora):
        """The LoRA with noise of SPOILT_TIMES its own size in the MLP of one block."""
        import torch
        generator = torch.Generator().manual_seed(3)
        return {key: torch.randn(tensor.shape, generator=generator) * tensor.std() * SPOILT_TIMES
                if f"joint_blocks.{int(SPOILT[1:])}.x_block.mlp" in key and key.endswith("lora_up.weight") else tensor
                for key, tensor in lora.items()}


def cases(studio, lora):
    """(name, LoRA, rubric, what to stay close to, closeness)"""
    likeness = studio.part("studio.tuning.likeness").target(studio.drawn().movedim(1, -1), studio.paintings())
    return [("as trained, rubric", lora, CHEAP, None, 0.0),
            ("as trained, style", lora, "*=0; Balance=1", likeness, 0.9),
            ("one block spoilt, style", studio.spoil(lora), "*=0; Balance=1", likeness, 0.9)]


def tuned(studio, name, lora, rubric, likeness, closeness, options):
    """A row for each search."""
    tune = studio.part("studio.tuning.block_tuning")
    goal = tune.TuningGoal(studio.sampling(PROMPTS), 0, 1, 0, studio.paintings(),
                     studio.part("critique.rubric.rubric_language").parse(rubric), likeness, closeness)
    grouped = studio.grouped(lora, "")
    searcher = tune.Tuner(grouped, goal, lambda picture, done: None)
    groups, unseen = len(grouped.groups), goal._replace(held_out=options.held_out).held_out
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
