"""Trains the painter's VAE on pictures painted as it goes; resumable, seeded, about half an hour on 2 cores.

    python starter/painter/train_vae.py --out vae.safetensors --resume vae.pt [--steps 4000] [--minutes 60]

The loss is the squared error and a share of the absolute error of the picture and of its gradients, decoded from
latents with a little noise, with the power of the latents held near 1. Every step has its own seed.
"""
import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from painter import pictures, vae  # noqa: E402
from painter.scenes import HELD_OUT_MEDIA, MEDIA  # noqa: E402

CROPS, CROP, NEW, KEPT, NOISE = 8, 96, 1, 64, 0.06


class Easel:
    """The pictures of the last steps: step n adds NEW of them, each of its own seed."""

    def __init__(self, seed: int):
        self.seed, self.kept = seed, {}

    def at(self, step: int) -> list[np.ndarray]:
        first, last = max(0, (step + 1) * NEW + 8 - KEPT), (step + 1) * NEW + 8
        self.kept = {k: v for k, v in self.kept.items() if k >= first}
        for k in range(first, last):
            if k not in self.kept:
                self.kept[k] = pictures.picture(self.seed * 10_000_000 + k, media=MEDIA + HELD_OUT_MEDIA)[0]
        return list(self.kept.values())

    def crops(self, step: int) -> torch.Tensor:
        """[CROPS, 3, CROP, CROP] in 0..1 cut where the grid of cells may lie."""
        kept, rng = self.at(step), np.random.default_rng([self.seed, step])
        cut = []
        for _ in range(CROPS):
            picture = kept[int(rng.integers(len(kept)))]
            top, left = rng.integers(0, picture.shape[0] - CROP + 1, 2)
            piece = picture[top:top + CROP, left:left + CROP]
            cut.append(piece[:, ::-1] if rng.random() < 0.5 else piece)
        return torch.from_numpy(np.stack(cut)).movedim(-1, 1).contiguous().float() / 255


def first_patches(seed: int) -> torch.Tensor:
    """[N, 192] cells of the first pictures."""
    some = [pictures.picture(seed * 10_000_000 + k, media=MEDIA + HELD_OUT_MEDIA)[0] for k in range(16)]
    images = torch.from_numpy(np.stack(some)).movedim(-1, 1).float() / 255
    cells = functional.pixel_unshuffle(images, vae.CELL)
    return cells.movedim(1, -1).reshape(-1, cells.shape[1])


def loss_of(net, images: torch.Tensor, generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(what is minimised, mean squared error)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        latents = net.encode(images).float()
        noisy = latents + NOISE * torch.randn(latents.shape, generator=generator)
        back = net.decode(noisy).float()
    gap = back - images
    square = gap.square().mean()
    edges = (gap[..., 1:] - gap[..., :-1]).abs().mean() + (gap[..., 1:, :] - gap[..., :-1, :]).abs().mean()
    power = functional.relu(latents.square().mean() - 1) + latents.mean((0, 2, 3)).square().mean() * 0.2
    return 4 * square + 0.05 * gap.abs().mean() + 0.02 * edges + 0.01 * power, square


class Run:
    """An autoencoder in training and all that a resumed run needs."""

    def __init__(self, seed: int, patches: torch.Tensor):
        self.net = vae.fresh(seed, patches).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        self.generator, self.step = torch.Generator().manual_seed(seed), 0

    def load(self, path: Path):
        saved = torch.load(path, weights_only=True)
        self.net.load_state_dict(saved["net"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average, self.step = saved["average"], saved["step"]
        self.generator.set_state(saved["generator"])

    def save(self, path: Path):
        part = path.with_suffix(".part")
        torch.save({"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict(), "average": self.average,
                    "generator": self.generator.get_state(), "step": self.step}, part)
        part.replace(path)

    def learn(self, images: torch.Tensor, rate: float) -> float:
        """One step; returns the mean squared error."""
        self.optimiser.param_groups[0]["lr"] = rate
        loss, square = loss_of(self.net, images.to(memory_format=torch.channels_last), self.generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 0.5)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        keep = min(0.998, (10 + self.step) / (60 + self.step))
        for name, value in self.net.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)
        self.step += 1
        return square.item()


def decibels(state: dict[str, torch.Tensor], seeds) -> float:
    """Mean PSNR of whole pictures that had no part in the training."""
    net = vae.Autoencoder()
    net.load_state_dict(state)
    found = []
    with torch.inference_mode():
        for seed in seeds:
            picture = pictures.picture(seed, test=True, media=MEDIA + HELD_OUT_MEDIA)[0]
            image = torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255
            gap = net.decode(net.encode(image)).clamp(0, 1) - image
            found.append(-10 * math.log10(gap.square().mean().item()))
    return sum(found) / len(found)


def train(options):
    run, path, began, losses = Run(options.seed, first_patches(options.seed)), Path(options.resume), time.time(), []
    if path.exists():
        run.load(path)
    easel = Easel(options.seed)
    while run.step < options.steps and time.time() - began < 60 * options.minutes:
        pace = min(1, (run.step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * run.step / options.steps)))
        losses.append(run.learn(easel.crops(run.step), options.rate * pace))
        if run.step % 50 == 0:
            late = -10 * math.log10(sum(losses[-50:]) / len(losses[-50:]))
            print(f"{run.step} crops {late:.2f} dB {len(losses) / (time.time() - began):.2f} steps/s", flush=True)
        if run.step % options.every == 0:
            keep(run, options)
    keep(run, options)


def keep(run: Run, options):
    run.save(Path(options.resume))
    save_file({k: v.half().contiguous() for k, v in run.average.items()}, options.out)
    print(f"{run.step} unseen pictures {decibels(run.average, range(900_000, 900_012)):.2f} dB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="weights in half precision")
    parser.add_argument("--resume", required=True, help="keeps the whole state of a run; continues where it exists")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this long; a later call goes on")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=250, help="steps between saved files")
    train(parser.parse_args())
