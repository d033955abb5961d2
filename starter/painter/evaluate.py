"""Checks the painter through the host's own nodes, on captions whose combination training never saw.

    COMFYUI_PATH=... python starter/painter/evaluate.py MODELS_DIR [--captions 64] [--seed 1] [--sheet sheet.jpg]
                                                     [--guidance 2] [--judge judge.safetensors]

MODELS_DIR is what install.py filled. Prints one JSON object: how many samples have what their captions name, by the
judge, what is missing where, the quartiles of the scored columns' critique, and how well the VAE gives pictures back.
"""
import argparse
import json
import math
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, os.environ["COMFYUI_PATH"])
if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import comfy.options  # noqa: E402

comfy.options.args_parsing = False
from comfy.cli_args import args as host_args  # noqa: E402

host_args.cpu = not torch.cuda.is_available()
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402
from install import TEXT  # noqa: E402

import nodes  # noqa: E402
from painter import judge, pictures, spread  # noqa: E402
from painter.install import MODEL, VAE  # noqa: E402
from painter.scenes import random_scene  # noqa: E402

STEPS, GUIDANCE, SAMPLER, SCHEDULER, SIZE = 24, 2.0, "euler", "beta", 256


class Painter:
    """The painter behind the host's loaders, encoder, sampler and decoder."""

    def __init__(self, models: Path, guidance: float = GUIDANCE):
        self.guidance = guidance
        for kind in ("diffusion_models", "vae", "text_encoders"):
            folder_paths.add_model_folder_path(kind, str(models / kind), is_default=True)
        self.model, = nodes.UNETLoader().load_unet(MODEL, "default")
        self.clip, = nodes.CLIPLoader().load_clip(TEXT, "sd3")
        self.vae, = nodes.VAELoader().load_vae(VAE)
        self.empty = self.encode("")

    def encode(self, caption: str):
        return nodes.CLIPTextEncode().encode(self.clip, caption)[0]

    def sample(self, caption: str, seed: int, model=None) -> np.ndarray:
        """[256, 256, 3] uint8."""
        latent, = nodes.EmptyLatentImage().generate(SIZE, SIZE, 1)
        latent, = nodes.KSampler().sample(model or self.model, seed, STEPS, self.guidance, SAMPLER, SCHEDULER,
                                          self.encode(caption), self.empty, latent)
        return as_bytes(nodes.VAEDecode().decode(self.vae, latent)[0])

    def given_back(self, picture: np.ndarray) -> np.ndarray:
        """A picture through encoder and decoder."""
        image = torch.from_numpy(picture)[None].float() / 255
        return as_bytes(nodes.VAEDecode().decode(self.vae, nodes.VAEEncode().encode(self.vae, image)[0])[0])


def as_bytes(image: torch.Tensor) -> np.ndarray:
    return (image[0].clamp(0, 1) * 255).round().byte().numpy()


def decibels(painter: Painter, seeds) -> float:
    """Mean PSNR of pictures that training never saw, through the VAE."""
    found = []
    for seed in seeds:
        picture = pictures.picture(seed, test=True)[0]
        gap = (painter.given_back(picture).astype(np.float64) - picture) / 255
        found.append(-10 * math.log10(float((gap ** 2).mean())))
    return round(sum(found) / len(found), 2)


@torch.inference_mode()
def main(options):
    comfy.utils.PROGRESS_BAR_ENABLED = False
    painter, examiner = Painter(options.models, options.guidance), judge.Judge(options.judge)
    rng = np.random.default_rng(options.seed)
    missing, right, scores, shown = Counter(), [], [], []
    for k in range(options.captions):
        scene = random_scene(rng, test=True)
        shown.append(painter.sample(scene.caption, k + 1000 * (options.seed - 1)))
        wrong = examiner.wrong(shown[-1], scene)
        missing.update(wrong)
        right.append(not wrong)
        scores.append(spread.critique_score(spread.measure(shown[-1])))
    if options.sheet:
        pictures.sheet(shown, side=options.side).save(options.sheet, quality=88)
    print(json.dumps({"samples": len(right), "right": sum(right) / len(right), "missing": missing,
                      "critique, quartiles": np.quantile(scores, (0.25, 0.5, 0.75)).round(1).tolist(),
                      "VAE, dB": decibels(painter, range(700_000, 700_016))}, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--captions", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1, help="2 and so on: other captions and other noises")
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--judge", type=Path, default=judge.FILE, help="another file of judge.py fit")
    parser.add_argument("--sheet")
    parser.add_argument("--side", type=int, default=256, help="pixels of each on the sheet")
    main(parser.parse_args())
