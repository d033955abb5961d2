"""Trains the starter: an SD3-shaped diffusion transformer in the host's own classes, on pictures drawn as it goes.

    COMFYUI_PATH=... python starter/train.py --out starter/bottega_starter.safetensors [--steps 6000]
                                             [--resume state.pt] [--until 3500]

Flow matching (Lipman et al. 2023; Esser et al. 2024), Muon (Jordan et al. 2024) for the matrices of the blocks and
AdamW for the rest. The same seed and thread count give the same weights.
"""
import argparse
import math
import os
import random
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, os.environ["COMFYUI_PATH"])
import comfy.options  # noqa: E402

comfy.options.args_parsing = False
from comfy.cli_args import args as host_args  # noqa: E402

host_args.cpu = not torch.cuda.is_available()
import pictures  # noqa: E402
import text  # noqa: E402
import transformer  # noqa: E402
import vae  # noqa: E402
from comfy.sd1_clip import SDTokenizer  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

DEPTH, CONTEXT, POOLED, POSITIONS = 3, 4096, 2048, 16
BATCH, TIME_SHIFT, EMPTY_PROMPTS = 64, 2.0, 0.1
TOKENS = 24                      # one length for all batches: oneDNN prepares its kernels once a shape
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def build(seed: int) -> torch.nn.Module:
    return transformer.build(seed, DEPTH, POSITIONS, vae.LATENT_CHANNELS).to(DEVICE)


class Prompts:
    """Prompts to text tokens by the encoder's own rule; a test compares it with the host's CLIP."""

    def __init__(self):
        self.tokenizer, self.table, self.known = SDTokenizer(), text.codes(), {}

    def ids(self, prompt: str) -> list[int]:
        ids = [t[0] for t in self.tokenizer.tokenize_with_weights(prompt)[0]]
        return ids[:ids.index(text.END) + 1]

    def __call__(self, prompts: list[str]):
        """context [B, n, 576], log of how many tokens each stands for [B, 1, 1, n], pooled [B, 576]."""
        for p in prompts:
            if p not in self.known:
                self.known[p] = self.ids(p)
        rows = [text.encode(self.known[p], self.table) for p in prompts]
        longest = max(TOKENS, *(len(c) + 1 for c, _ in rows))
        context, count = torch.zeros(len(rows), longest, text.READ), torch.zeros(len(rows), longest)
        for i, (tokens, _) in enumerate(rows):
            n = len(tokens)
            context[i, :n], count[i, :n], count[i, n] = tokens, 1, text.LENGTH - n
        return context, count.log()[:, None, None], torch.stack([pooled for _, pooled in rows])


def velocity(net, x, sigma, context, weight, pooled):
    """The model's prediction of noise - picture; a padding token that stands for many is weighed in the attention."""
    picture = torch.zeros(*weight.shape[:-1], (x.shape[-1] // 2) ** 2, device=x.device)
    bias = torch.cat([weight, picture], -1)

    def attention(_, q, k, v, heads, **__):
        split = lambda t: t.view(t.shape[0], t.shape[1], heads, -1).transpose(1, 2)
        out = torch.nn.functional.scaled_dot_product_attention(split(q), split(k), split(v), attn_mask=bias.to(q.dtype))
        return out.transpose(1, 2).reshape(q.shape)

    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        return net(x, sigma * 1000, context=context, y=pooled,
                   transformer_options={"optimized_attention_override": attention}).float()


class Batches(torch.utils.data.IterableDataset):
    """The batches of steps start..stop; each is drawn from its own seed, so a resumed run sees the same ones."""

    def __init__(self, seed: int, start: int, stop: int):
        self.seed, self.steps, self.prompts = seed, range(start, stop), Prompts()

    def __iter__(self):
        for step in self.steps:
            rng = random.Random(f"{self.seed} {step}")
            scenes = [pictures.random_scene(rng) for _ in range(BATCH)]
            drawn = torch.stack([pictures.draw(s, 64, rng) for s in scenes])
            words = ["" if rng.random() < EMPTY_PROMPTS else pictures.shorten(rng, s) for s in scenes]
            yield vae.model_space(drawn, 2).float(), *self.prompts(words)


def noise_levels(generator) -> torch.Tensor:
    u = torch.sigmoid(torch.randn(BATCH, generator=generator))
    return (TIME_SHIFT * u / (1 + (TIME_SHIFT - 1) * u)).to(DEVICE)


def optimisers(net):
    matrices = [p for n, p in net.named_parameters() if "joint_blocks" in n and p.ndim == 2 and "adaLN" not in n]
    chosen = {id(p) for p in matrices}
    others = [p for p in net.parameters() if id(p) not in chosen]
    return [torch.optim.Muon(matrices, lr=1e-3, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True)]


def pace(step: int, steps: int) -> float:
    """Learning-rate factor: warm-up over 200 steps, then half a cosine down to 1 %."""
    return min(1, (step + 1) / 200) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def widen(weight: torch.Tensor, width: int) -> torch.Tensor:
    """Columns that the text encoder never writes are zero in the shipped file."""
    return torch.nn.functional.pad(weight, (0, width - weight.shape[1]))


def export(state: dict[str, torch.Tensor], path: Path):
    state = dict(state)
    state["context_embedder.weight"] = widen(state["context_embedder.weight"], CONTEXT)
    state["y_embedder.mlp.0.weight"] = widen(state["y_embedder.mlp.0.weight"], POOLED)
    save_file({f"model.diffusion_model.{k}": v.half().contiguous() for k, v in state.items()}, path)


class Run:
    """A model in training with all that a resumed run needs: optimisers, averaged weights, noise generator, step."""

    def __init__(self, seed: int):
        self.net, self.step = build(seed), 0
        self.optimisers = optimisers(self.net)
        self.average = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        self.generator = torch.Generator().manual_seed(seed)

    def load(self, path: Path):
        saved = torch.load(path, weights_only=True)
        self.net.load_state_dict(saved["net"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.average, self.step = saved["average"], saved["step"]
        self.generator.set_state(saved["generator"])

    def save(self, path: Path):
        torch.save({"net": self.net.state_dict(), "optimisers": [o.state_dict() for o in self.optimisers],
                    "average": self.average, "step": self.step, "generator": self.generator.get_state()}, path)

    def learn(self, rate: float, picture, context, weight, pooled) -> float:
        """One step on a batch; returns its loss."""
        sigma, noise = noise_levels(self.generator), torch.randn(picture.shape, generator=self.generator).to(DEVICE)
        s = sigma.view(-1, 1, 1, 1)
        guess = velocity(self.net, (1 - s) * picture + s * noise, sigma, context, weight, pooled)
        loss = (guess - (noise - picture)).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.follow(min(0.999, (10 + self.step) / (100 + self.step)))
        self.step += 1
        return loss.item()

    def follow(self, keep: float):
        for name, value in self.net.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)


def train(options):
    run = Run(options.seed)
    if options.resume and Path(options.resume).exists():
        run.load(options.resume)
    until, began, losses = options.until or options.steps, time.time(), []
    batches = torch.utils.data.DataLoader(Batches(options.seed, run.step, until), batch_size=None, num_workers=1)
    for drawn in batches:
        losses.append(run.learn(options.rate * pace(run.step, options.steps), *(t.to(DEVICE) for t in drawn)))
        if run.step % 100 == 0:
            speed = len(losses) / (time.time() - began)
            print(f"{run.step} loss {sum(losses[-100:]) / 100:.4f} {speed:.2f} steps/s", flush=True)
        if run.step % options.every == 0 or run.step == until:
            export(run.average, Path(options.out))
            if options.resume:
                run.save(options.resume)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--until", type=int, help="stop after this many steps, before the schedule ends")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1000, help="steps between saved files")
    parser.add_argument("--resume", help="file that keeps the whole state of a run; continues from it when it exists")
    train(parser.parse_args())
