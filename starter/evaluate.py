"""Checks the starter through the host's own nodes: how many unseen prompts give the right things in the right colours.

    COMFYUI_PATH=... python starter/evaluate.py MODELS_DIR [--prompts 240] [--sheet sheet.png]

MODELS_DIR is what install.py filled. Prompts come from combinations of shapes, colours, ground and style that training
never saw; every fifth picture lands on the contact sheet. Prints one JSON object.
"""
import argparse
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import torch

sys.path.insert(0, os.environ["COMFYUI_PATH"])
from comfy.cli_args import args as host_args  # noqa: E402

host_args.cpu = not torch.cuda.is_available()
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402
import judge  # noqa: E402
import pictures  # noqa: E402
from install import MODEL, TEXT, VAE  # noqa: E402
from PIL import Image  # noqa: E402

import nodes  # noqa: E402

STEPS, GUIDANCE, SAMPLER, SCHEDULER, SIZE = 20, 3.0, "euler", "simple", 128


class Starter:
    """The starter behind the host's loaders, encoder, sampler and decoder."""

    def __init__(self, models: Path):
        for kind in ("diffusion_models", "vae", "text_encoders"):
            folder_paths.add_model_folder_path(kind, str(models / kind), is_default=True)
        self.model, = nodes.UNETLoader().load_unet(MODEL, "default")
        self.clip, = nodes.CLIPLoader().load_clip(TEXT, "sd3")
        self.vae, = nodes.VAELoader().load_vae(VAE)
        self.empty = self.encode("")

    def encode(self, prompt: str):
        return nodes.CLIPTextEncode().encode(self.clip, prompt)[0]

    def sample(self, prompt: str, seed: int, model=None, count: int = 1) -> torch.Tensor:
        """[count, 3, 128, 128] in 0..1."""
        latent, = nodes.EmptyLatentImage().generate(SIZE, SIZE, count)
        latent, = nodes.KSampler().sample(model or self.model, seed, STEPS, GUIDANCE, SAMPLER, SCHEDULER,
                                          self.encode(prompt), self.empty, latent)
        return nodes.VAEDecode().decode(self.vae, latent)[0].movedim(-1, 1)


def unseen_scenes(count: int, seed: int) -> list[pictures.Scene]:
    rng = random.Random(seed)
    return [pictures.random_scene(rng, test=True) for _ in range(count)]


def sheet(images: list[torch.Tensor], columns: int) -> Image.Image:
    rows = [torch.cat(images[i:i + columns], 2) for i in range(0, len(images) - columns + 1, columns)]
    return Image.fromarray((torch.cat(rows, 1).movedim(0, -1) * 255).round().byte().numpy())


@torch.inference_mode()
def main(options):
    comfy.utils.PROGRESS_BAR_ENABLED = False
    starter = Starter(Path(options.models))
    right, asked, wrong, shown = Counter(), Counter(), [], []
    for i, scene in enumerate(unseen_scenes(options.prompts, options.seed)):
        image = starter.sample(scene.prompt, i)[0]
        found = judge.find(image, scene.ground)
        kind = f"{len(scene.things)} thing{'s' * (len(scene.things) > 1)}"
        asked.update([kind, scene.style, "all"])
        if judge.agrees(found, scene):
            right.update([kind, scene.style, "all"])
        else:
            wrong.append({"prompt": scene.prompt, "found": [f"{t.colour} {t.shape}" for t in found]})
        if i % 5 == 0:
            shown.append(image)
    if options.sheet:
        sheet(shown, 8).save(options.sheet)
    shares = {k: round(right[k] / n, 4) for k, n in asked.items()}
    print(json.dumps({"right": shares, "asked": asked, "wrong": wrong}, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models")
    parser.add_argument("--prompts", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sheet")
    main(parser.parse_args())
