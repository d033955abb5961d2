"""Pictures of how far the training has got: the same prompts and noise every time, through the model being trained."""
from functools import partial
from pathlib import Path

import comfy.model_management
import comfy.sample
import torch
from PIL import Image

from ...lora.file.whole import write_whole
from ..plan.recipe import SamplePlan
from .decoding import decode

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
                pictures = [decode(self._sample(number, entry), self.patcher.model, self.vae)
                            for number, entry in enumerate(self.prompts)]
        finally:
            comfy.model_management.in_training = before
        for number, picture in enumerate(pictures, 1):
            write_whole(self.folder / f"step_{step:08}_{number}.png", partial(picture.save, format="PNG"))
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
