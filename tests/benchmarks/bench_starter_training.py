"""What is learnt: our defaults against the host's TrainLoraNode on the starter, same pictures, seeds and wall time.

Twelve woodcuts are learnt from, others are judged by: the validation loss is the error of the velocity on unseen
woodcuts at fixed noise and eight levels of it, equally spaced; the style distance is the sliced Wasserstein distance
between patches of sampled pictures and of woodcuts drawn for the same prompts. The host's node trains a number of
steps; ours gets the seconds that took, its own checks and encoding included, and is stopped when they are over.
"""
import statistics
import time

import timing
from on_starter import OnStarter, opened

SEEDS, HOST_STEPS, UNSEEN, UNSEEN_SEED, SAMPLING_STEPS = 5, 60, 12, 1000, 12
LEVELS = [(i + 0.5) / 8 for i in range(8)]
DIRECTIONS = 128                        # random projections
HOST_DEFAULTS = dict(batch_size=1, grad_accumulation_steps=1, learning_rate=5e-4, rank=8, optimizer="AdamW",
                     loss_function="MSE", training_dtype="bf16", lora_dtype="bf16", quantized_backward=False,
                     algorithm="LoRA", gradient_checkpointing=True, checkpoint_depth=1, offloading=False,
                     existing_lora="[None]", bucket_mode=False, bypass_mode=False)


def main():
    parser = timing.parser(__doc__, SEEDS)
    parser.add_argument("--host-steps", type=int, default=HOST_STEPS, help="steps of the host's node in each run")
    parser.add_argument("--pictures", type=int, default=4, help="sampled pictures a style distance is taken over")
    options = parser.parse_args()
    with opened(Workshop, options.pictures) as workshop:
        base = workshop.judge(None)
        rows = [row for seed in range(options.rounds) for row in workshop.compare(seed, options.host_steps)]
    publish(base, rows, options)


class Workshop(OnStarter):
    """The starter, its woodcuts, and the two trainers."""

    def __init__(self, pack, folder, pictures):
        import torch
        import woodcut
        super().__init__(pack, folder, SAMPLING_STEPS)
        self.woodcut = woodcut
        learnt, unseen = woodcut.things(), woodcut.things(UNSEEN, UNSEEN_SEED)
        self.prompts = [woodcut.caption(thing) for thing in unseen[:pictures]]
        with torch.inference_mode():
            self.learnt, self.captions = self.encode(learnt)
            self.unseen, self.unseen_captions = self.encode(unseen)
            self.drawn = self.starter.vae.decode(self.unseen[:pictures]).movedim(-1, 1)
        self.pace = None

    def encode(self, things):
        import torch
        drawn = torch.stack([self.woodcut.draw_woodcut(thing) for thing in things])
        return self.latents(drawn), [self.starter.encode(self.woodcut.caption(thing)) for thing in things]

    def compare(self, seed, host_steps):
        """Rows (trainer, steps, seconds, validation loss, style distance) of one seed."""
        lora, seconds = clocked(lambda: self.host(seed, host_steps))
        theirs = ("host", host_steps, seconds, *self.judge(lora))
        if self.pace is None:
            self.pace = clocked(lambda: self.ours(seed, 20))[1] / 20
        steps = max(20, int(seconds / self.pace))
        (lora, done), own = clocked(lambda: self.ours(seed, steps, seconds))
        self.pace = own / done
        rows = [theirs, ("ours", done, own, *self.judge(lora))]
        for row in rows:
            print(seed, *(f"{v:.4g}" if isinstance(v, float) else v for v in row), flush=True)
        return rows

    def ours(self, seed, steps, seconds=float("inf")):
        """(LoRA, steps done): ends early when `seconds` are over, as a person's stop-and-keep does."""
        t, until = self.pack.nodes.training, time.perf_counter() + seconds

        class Timed(t.monitoring.progress.Progress):
            def update(self, session):
                super().update(session)
                if time.perf_counter() > until:
                    t.stop_and_keep.request_stop("", "1")     # outside of a prompt

        dataset = self.dataset(self.learnt, self.captions)
        trained = self.train(dataset, steps, 1, 0.0, 0, seed, progress=Timed(steps, "1"))
        return trained.tensors, len(trained.losses)

    def host(self, seed, steps):
        from comfy_extras.nodes_train import TrainLoraNode
        inputs = {**HOST_DEFAULTS, "steps": steps, "seed": seed}
        return TrainLoraNode.execute(model=[self.starter.model], latents=[{"samples": self.learnt}],
                                     positive=self.captions, **{k: [v] for k, v in inputs.items()}).args[0]

    def judge(self, lora):
        """(validation loss, style distance) of the starter with a LoRA, or without for None."""
        import comfy.sd
        import torch
        model = self.starter.model
        if lora is not None:
            model = comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)[0]
        with torch.inference_mode():
            return self.validation(model), self.style(model)

    def validation(self, model):
        import comfy.model_management
        import torch
        comfy.model_management.load_models_gpu([model])
        clean = model.model.process_latent_in(self.unseen.float())
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(UNSEEN_SEED))
        context = torch.cat([c[0][0] for c in self.unseen_captions])
        pooled = torch.cat([c[0][1]["pooled_output"] for c in self.unseen_captions])
        errors = []
        for level in LEVELS:
            sigma = torch.full((len(clean),), level)
            noisy = level * noise + (1 - level) * clean
            denoised = model.model.apply_model(noisy, sigma, c_crossattn=context, y=pooled)
            errors.append(((denoised - clean) / level).square().mean().item())
        return sum(errors) / len(errors)

    def style(self, model):
        import torch
        drawn = torch.cat([self.starter.picture(prompt, i, model) for i, prompt in enumerate(self.prompts)])
        return sliced_distance(patches(drawn.movedim(-1, 1)), patches(self.drawn))


def clocked(function):
    """(what function returns, the seconds it took), in inference mode, as the host's executor calls nodes."""
    import torch
    began = time.perf_counter()
    with torch.inference_mode():
        result = function()
    return result, time.perf_counter() - began


def patches(pictures):
    """[B, 3, H, W] -> [N, 3 * 9]: neighbouring 3 x 3 dots of the starter's pictures, a dot being 4 pixels."""
    import torch.nn.functional as F
    dots = F.avg_pool2d(pictures, 4)
    return F.unfold(dots, 3).movedim(1, -1).flatten(0, 1)


def sliced_distance(a, b):
    """Root mean square of the Wasserstein-2 distances of random projections (Rabin et al. 2012)."""
    import torch
    directions = torch.randn(a.shape[1], DIRECTIONS, generator=torch.Generator().manual_seed(0))
    directions /= directions.norm(dim=0)
    q = torch.linspace(0, 1, 512)
    a, b = ((x @ directions).quantile(q, dim=0) for x in (a, b))
    return (a - b).square().mean().sqrt().item()


def publish(base, rows, options):
    lines, wins = [], []
    for seed in range(options.rounds):
        pair = rows[2 * seed:2 * seed + 2]
        lines += [(name, str(seed), str(steps), f"{seconds:.1f}", f"{loss:.4f}", f"{style:.4f}")
                  for name, steps, seconds, loss, style in pair]
        wins.append([pair[1][i] < pair[0][i] for i in (3, 4)])
    mean = {name: [statistics.mean(row[i] for row in rows if row[0] == name) for i in (3, 4)]
            for name in ("host", "ours")}
    timing.publish(
        "starter_training", "What is learnt in the same time",
        f"Twelve woodcuts, batch 1, both trainers with their defaults; the host's node trains {options.host_steps} "
        "steps and ours as many as fit the same seconds. Validation loss and style distance on "
        f"unseen woodcuts ({UNSEEN} and {options.pictures}); smaller is better. The starter alone: "
        f"{base[0]:.4f} and {base[1]:.4f}.",
        timing.table(["trainer", "seed", "steps", "seconds", "validation loss", "style distance"], lines),
        f"Means: host {mean['host'][0]:.4f} and {mean['host'][1]:.4f}, ours {mean['ours'][0]:.4f} and "
        f"{mean['ours'][1]:.4f}. Ours is lower in {sum(w[0] for w in wins)} of {len(wins)} seeds by loss and in "
        f"{sum(w[1] for w in wins)} by style.")


if __name__ == "__main__":
    main()
