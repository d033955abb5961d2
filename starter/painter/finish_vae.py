"""Teaches the VAE's decoder to give the marks of the brush back; the encoder, and so every latent, stays as it is.

    python starter/painter/finish_vae.py vae.safetensors --out finished.safetensors [--steps 800]

What is minimised for the sake of the squared error is smooth where bristles were: of 40 pictures given back, the judge
took 18 of oil or pastel for gouache. Here the power of the finest detail in squares of 16 pixels counts too. Seeded.
"""
import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

if __package__ in (None, ""):
    import sys
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from painter import latents, train_vae  # noqa: E402

SQUARE, SCALES, WEIGHT, LEAST = 16, 3, 0.4, 1e-5


def powers(images: Tensor) -> list[Tensor]:
    """Root mean square of the detail of each of SCALES octaves, of light and of two colours, in squares."""
    red, green, blue = images.unbind(1)
    rest, found = torch.stack([(red + 2 * green + blue) / 4, red - green, blue - green], 1), []
    for octave in range(SCALES):
        low = functional.avg_pool2d(rest, 2)
        detail, rest = rest - functional.interpolate(low, scale_factor=2), low
        found.append((functional.avg_pool2d(detail.square(), SQUARE >> octave) + LEAST).sqrt())
    return found


def marks_lost(back: Tensor, images: Tensor) -> Tensor:
    """Mean difference of the powers."""
    return sum((one - two).abs().mean() for one, two in zip(powers(back), powers(images), strict=True))


def finish(options):
    net, generator = latents.load_vae(options.vae), torch.Generator().manual_seed(7)
    net.to(memory_format=torch.channels_last)
    learning, easel, began = list(net.decoder.parameters()), train_vae.Easel(options.seed), time.time()
    optimiser = torch.optim.AdamW(learning, lr=options.rate, betas=(0.9, 0.98), weight_decay=0.0)
    for step in range(options.steps):
        images = easel.crops(step).to(memory_format=torch.channels_last)
        optimiser.param_groups[0]["lr"] = options.rate * min(1, (step + 1) / 50, 1.02 - step / options.steps)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                drawn = net.encode(images).float()
            noise = train_vae.NOISE * torch.randn(drawn.shape, generator=generator)
            back = net.decode(drawn + noise).float()
        square, marks = (back - images).square().mean(), marks_lost(back, images)
        (4 * square + 0.05 * (back - images).abs().mean() + options.weight * marks).backward()
        torch.nn.utils.clip_grad_norm_(learning, 0.5)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 50 == 0:
            print(f"{step} error {square.item():.5f} marks {marks.item():.4f} {step / (time.time() - began):.2f} "
                  "steps/s", flush=True)
    state = {name: value.detach().contiguous() for name, value in net.state_dict().items()}
    save_file({name: value.half() for name, value in state.items()}, options.out)
    print(f"unseen pictures {train_vae.decibels(state, range(900_000, 900_012)):.2f} dB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vae", type=Path)
    parser.add_argument("--out", required=True, help="the same weights with another decoder, in half precision")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--weight", type=float, default=WEIGHT, help="of the marks in what is minimised")
    parser.add_argument("--seed", type=int, default=1)
    finish(parser.parse_args())
