"""What image pairs teach: the change between two pictures, and how little of what both share.

Pairs of drawings of the starter's things, one caption for both: from flat to woodcut, and from a small thing
to a large one. All of them, before and after, stand in a purple frame, which the starter has never seen. Each LoRA is
judged on unseen things without a frame: what it adds to the starter's prediction, at strength 1 and -1 and at three
levels of noise, is written as a share of the change (the latents of after minus those of before) plus a share of the
frame (framed minus plain), by least squares. Plain training learns the pictures of after alone, for as many steps.
"""
import time

import timing
from on_starter import OnStarter, opened

ROUNDS, STEPS, RANK, UNSEEN, UNSEEN_SEED, LEVELS = 3, 100, 8, 12, 1000, (0.5, 0.7, 0.9)
FRAME, WIDTH = (60, 20, 90), 10


def main():
    parser = timing.parser(__doc__, ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each training")
    options = parser.parse_args()
    with opened(Workshop, options.steps) as workshop:
        rows = [row for seed in range(options.rounds) for kind in KINDS for row in workshop.compare(kind, seed)]
    timing.publish(
        "pairs", "What image pairs teach",
        f"{options.steps} steps, batch 1, rank {RANK}, the default rate; shares by least squares on {UNSEEN} unseen "
        "things, cosine of what the LoRA adds with the change. At strength -1 pairs should give the opposite of 1. "
        "What both pictures of a pair share should not be learnt: its share is to be small.",
        timing.table(["pairs", "seed", "trained on", "seconds", "change at 1", "frame at 1", "cosine at 1",
                      "change at -1", "frame at -1", "cosine at -1"], rows))


def woodcut(thing):
    import woodcut
    return woodcut.draw_woodcut(thing)


def flat(thing, size=1.0):
    import pictures
    ground = pictures.draw_ground("white", 128, None)
    return pictures.draw_thing(ground, thing._replace(radius=thing.radius * size), "flat")


KINDS = {"flat to woodcut": (flat, woodcut),
         "small to large": (lambda thing: flat(thing, 0.65), lambda thing: flat(thing, 1.35))}


def framed(picture):
    import torch
    inside = torch.zeros_like(picture)
    inside[:, WIDTH:-WIDTH, WIDTH:-WIDTH] = 1
    return torch.where(inside == 1, picture, torch.tensor(FRAME).view(3, 1, 1) / 255)


class Workshop(OnStarter):
    """The starter, things to learn from and to be judged by."""

    def __init__(self, pack, folder, steps):
        import woodcut
        super().__init__(pack, folder)
        self.steps, self.learnt, self.unseen = steps, woodcut.things(), woodcut.things(UNSEEN, UNSEEN_SEED)
        self.asked = self.encoded(self.unseen)

    def encoded(self, things):
        import torch
        with torch.inference_mode():
            return [self.starter.encode(f"a {t.colour} {t.shape} on a white background") for t in things]

    def drawn(self, draw, things, frame=False):
        """Latents of things as `draw` draws them."""
        import torch
        return self.latents(torch.stack([framed(draw(thing)) if frame else draw(thing) for thing in things]))

    def compare(self, kind, seed):
        """A row of plain training and one of pairs."""
        before, after = (self.drawn(draw, self.learnt, frame=True) for draw in KINDS[kind])
        captions, rows = self.encoded(self.learnt), []
        for name in ("after alone", "pairs"):
            dataset = self.dataset(after, captions)
            if name == "pairs":
                dataset = dataset._replace(samples=[sample._replace(before=before[[i]])
                                                    for i, sample in enumerate(dataset.samples)])
            began = time.perf_counter()
            lora = self.train(dataset, self.steps, 1, 0.0, RANK, seed).tensors
            seconds = time.perf_counter() - began
            judged = [f"{value:.3f}" for strength in (1.0, -1.0) for value in self.judge(kind, lora, strength)]
            rows.append((kind, str(seed), name, f"{seconds:.1f}", *judged))
            print(*rows[-1], flush=True)
        return rows

    def judge(self, kind, lora, strength):
        """(share of the change, share of the frame, cosine with the change) of what a LoRA adds."""
        import torch
        into = self.starter.model.model.process_latent_in
        plain = self.drawn(flat, self.unseen)
        before, after = (into(self.drawn(draw, self.unseen)) for draw in KINDS[kind])
        parts = [after - before, into(self.drawn(flat, self.unseen, frame=True)) - into(plain)]
        change, frame = (part.repeat(len(LEVELS), 1, 1, 1).flatten().double() for part in parts)
        added = (self.predicted(lora, strength, plain) - self.predicted(None, 0.0, plain)).flatten().double()
        shares = torch.linalg.lstsq(torch.stack([change, frame], 1), added[:, None]).solution.flatten()
        return *shares.tolist(), torch.cosine_similarity(added, change, 0).item()

    def predicted(self, lora, strength, clean):
        import comfy.model_management
        import comfy.sd
        import torch
        model = self.starter.model
        if lora is not None:
            model = comfy.sd.load_lora_for_models(model, None, lora, strength, 0.0)[0]
        comfy.model_management.load_models_gpu([model])
        with torch.inference_mode():
            clean = model.model.process_latent_in(clean.float())
            noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(UNSEEN_SEED))
            context = torch.cat([c[0][0] for c in self.asked])
            pooled = torch.cat([c[0][1]["pooled_output"] for c in self.asked])
            return torch.cat([model.model.apply_model(
                level * noise + (1 - level) * clean, torch.full((len(clean),), level), c_crossattn=context, y=pooled)
                for level in LEVELS])


if __name__ == "__main__":
    main()
