"""Pictures of how far the training has got: the same prompts and noise every time, through the model being trained."""
from pathlib import Path

import comfy.model_management
import comfy.sample
import numpy as np
import torch
from latent_preview import Latent2RGBPreviewer
from PIL import Image

from .recipe import SamplePlan

USUAL_CFG = 4.0


class Samples:
    """One picture a prompt, from fixed noise, of the size of a training latent.

    prompts: CONDITIONING, each entry a prompt of its own. They are guided away from the data set's empty prompt, or
    from zeros where it has none; cfg 0 means no guidance for guidance-distilled models and USUAL_CFG for others."""

    def __init__(self, patcher, prompts: list, empty: tuple | None, plan: SamplePlan, seed: int, shape: torch.Size,
                 folder: Path, vae=None, distilled: bool = False):
        self.patcher, self.prompts, self.empty, self.plan = patcher, prompts, empty, plan
        self.seed, self.shape, self.folder, self.vae = seed, (1, *shape[1:]), folder, vae
        self.cfg = plan.cfg or (1.0 if distilled else USUAL_CFG)

    def draw(self, step: int) -> list[Image.Image]:
        """Samples every prompt, keeps the pictures as <folder>/step_..._n.png, and gives them back."""
        before, comfy.model_management.in_training = comfy.model_management.in_training, False
        try:
            with torch.inference_mode():
                pictures = [self._decode(self._sample(number, entry)) for number, entry in enumerate(self.prompts)]
        finally:
            comfy.model_management.in_training = before
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures, 1):
            picture.save(self.folder / f"step_{step:08}_{number}.png")
        return pictures

    def _sample(self, number, entry):
        generator = torch.Generator().manual_seed((self.seed + number) % 2 ** 63)
        noise = torch.randn(self.shape, generator=generator)
        return comfy.sample.sample(
            self.patcher, noise, self.plan.steps, self.cfg, "euler", "simple", [entry], [self._negative(entry)],
            torch.zeros(self.shape), disable_pbar=True, seed=self.seed)

    def _negative(self, entry):
        caption, options = self.empty or entry
        if self.empty:
            return [caption, dict(options)]
        zeros = {key: torch.zeros_like(v) if key == "pooled_output" and v is not None else v
                 for key, v in options.items()}
        return [None if caption is None else torch.zeros_like(caption), zeros]

    def _decode(self, latent):
        if self.vae is not None:
            pixels = self.vae.decode(latent)
            pixels = pixels[0] if pixels.ndim == 4 else pixels[0, 0]
            return Image.fromarray((pixels.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())
        latent_format = self.patcher.model.latent_format
        factors = latent_format.latent_rgb_factors
        if factors is None:
            return _plain(latent)
        previewer = Latent2RGBPreviewer(factors, latent_format.latent_rgb_factors_bias,
                                        latent_format.latent_rgb_factors_reshape)
        small = previewer.decode_latent_to_preview(self.patcher.model.process_latent_in(latent).cpu().float())
        return small.resize((small.width * 8, small.height * 8), Image.Resampling.BICUBIC)


def _plain(latent):
    """The first channel, stretched, for models the host knows no preview of."""
    channel = latent.float()[0, 0]
    channel = channel if channel.ndim == 2 else channel.reshape(-1, channel.shape[-1])
    low, high = channel.min(), channel.max()
    grey = ((channel - low) / (high - low).clamp(min=1e-6) * 255).to(torch.uint8).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(grey)).convert("RGB")
