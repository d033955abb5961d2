"""Pictures, or videos, of how far the training has got: the same prompts and noise every time, through the model being
trained."""
import re
from functools import partial
from pathlib import Path

import comfy.model_management
import comfy.sample
import folder_paths
import numpy as np
import torch
from latent_preview import Latent2RGBPreviewer
from PIL import Image

from ...shared.atomic_write import write_whole
from ..plan.recipe import SamplePlan

USUAL_CFG = 4.0
PREVIEW_SCALE = 8       # pixels of a preview for one of the latent
MOST_LISTED = 200       # steps with pictures that the page can go back to
PICTURE = re.compile(r"step_([0-9]+)_([0-9]+)\.(\w+)")     # as Samples names them
USUAL_FPS = 16.0        # of videos whose rate is not known
Frames = list[Image.Image]


class Samples:
    """One picture a prompt, or one video where a video model learns videos, from fixed noise, of the size of a training
    latent. fps: frames a second of the videos, 0 for USUAL_FPS.

    prompts: CONDITIONING, each entry a prompt of its own. They are guided away from the data set's empty prompt, or
    from zeros where it has none; cfg 0 means no guidance for guidance-distilled models and USUAL_CFG for others."""

    def __init__(self, patcher, prompts: list, empty: tuple | None, plan: SamplePlan, seed: int, shape: torch.Size,
                 folder: Path, vae=None, distilled: bool = False, fps: float = 0.0):
        self.patcher, self.prompts, self.empty, self.plan = patcher, prompts, empty, plan
        self.seed, self.shape, self.folder, self.vae = seed, (1, *shape[1:]), folder, vae
        self.cfg, self.fps = plan.cfg or (1.0 if distilled else USUAL_CFG), fps or USUAL_FPS

    def draw(self) -> list[Frames]:
        """Samples every prompt; of a picture one frame."""
        before, comfy.model_management.in_training = comfy.model_management.in_training, False
        try:
            with torch.inference_mode():
                return [decoded_frames(self._sample(number, entry), self.patcher.model, self.vae)
                        for number, entry in enumerate(self.prompts)]
        finally:
            comfy.model_management.in_training = before

    def save(self, drawn: list[Frames], step: int) -> None:
        """Writes pictures as <folder>/step_..._n.png and videos as animated .webp."""
        for number, frames in enumerate(drawn, 1):
            name, write = f"step_{step:08}_{number}", partial(frames[0].save, format="PNG")
            if len(frames) > 1:
                write = partial(frames[0].save, format="WEBP", save_all=True, append_images=frames[1:],
                                duration=self._milliseconds(), loop=0, quality=90)
            write_whole(self.folder / f"{name}.{'webp' if len(frames) > 1 else 'png'}", write)

    def on_disk(self, step: int) -> dict:
        """What the page can ask the server for: the subfolder of output, the steps up to this one that have pictures,
        the latest MOST_LISTED of them, and the ending of each picture of this step. Other names are not its own."""
        names = filter(None, (PICTURE.fullmatch(path.name) for path in self.folder.glob("step_*")))
        known = {(int(name[1]), int(name[2])): name[3] for name in names}
        steps = sorted(of for of, number in known if number == 1)
        endings = [known.get((step, number), "png") for number in range(1, len(self.prompts) + 1)]
        return {"subfolder": self.folder.relative_to(folder_paths.get_output_directory()).as_posix(),
                "steps": [each for each in steps if each <= step][-MOST_LISTED:], "endings": endings}

    def _milliseconds(self) -> int:
        """That a frame is shown. Without a VAE there is one for each frame of the latent, which stands for several."""
        stands_for = 1 if self.vae else self.patcher.model.latent_format.temporal_downscale_ratio
        return round(1000 / self.fps * stands_for)

    def _sample(self, number, entry):
        generator = torch.Generator().manual_seed((self.seed + number) % 2 ** 63)
        noise = torch.randn(self.shape, generator=generator)
        return comfy.sample.sample(
            self.patcher, noise, self.plan.steps, self.cfg, self.plan.sampler, self.plan.scheduler, [entry],
            [self._negative(entry)], torch.zeros(self.shape), disable_pbar=True, seed=self.seed)

    def _negative(self, entry):
        caption, options = self.empty or entry
        if self.empty:
            return [caption, dict(options)]
        zeros = {key: torch.zeros_like(v) if key == "pooled_output" and v is not None else v
                 for key, v in options.items()}
        return [None if caption is None else torch.zeros_like(caption), zeros]


def decode(latent: torch.Tensor, model, vae=None) -> Image.Image:
    """The first frame that decoded_frames gives."""
    if vae is None and latent.ndim == 5:
        latent = latent[:, :, :1]
    return decoded_frames(latent, model, vae)[0]


def decoded_frames(latent: torch.Tensor, model, vae=None) -> Frames:
    """latent [1, C, ...] as the VAE gives it. Without a VAE previews, one for each frame of the latent, in the colours
    the host knows for `model`'s latents, or its first channel in grey."""
    if vae is not None:
        pixels = vae.decode(latent)
        pixels = (pixels if pixels.ndim == 4 else pixels[0])[..., :3]
        return [Image.fromarray((each.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()) for each in pixels]
    parts = latent.split(1, 2) if latent.ndim == 5 else [latent]
    return [_preview(part, model) if has_preview(model) else _plain(part) for part in parts]


def _preview(latent, model):
    known = model.latent_format
    previewer = Latent2RGBPreviewer(known.latent_rgb_factors, known.latent_rgb_factors_bias,
                                    known.latent_rgb_factors_reshape)
    small = previewer.decode_latent_to_preview(model.process_latent_in(latent).cpu().float())
    return small.resize((small.width * PREVIEW_SCALE, small.height * PREVIEW_SCALE), Image.Resampling.BICUBIC)


def has_preview(model) -> bool:
    """Whether the host knows what colours the model's latents stand for."""
    return model.latent_format.latent_rgb_factors is not None


def _plain(latent):
    """The first channel, stretched, for models the host knows no preview of."""
    channel = latent.float()[0, 0]
    channel = channel if channel.ndim == 2 else channel.reshape(-1, channel.shape[-1])
    low, high = channel.min(), channel.max()
    grey = ((channel - low) / (high - low).clamp(min=1e-6) * 255).to(torch.uint8).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(grey)).convert("RGB")
