"""Pictures from a model, a prompt and a seed: what the host's KSampler and VAE Decode give, one at a time."""
from typing import NamedTuple

import comfy.model_management
import comfy.sample
import torch
import torch.nn.functional as F
from torch import Tensor

from ..critique.picture.planes import check
from ..shared.host_capabilities import require

SHEET_SIDE = 256      # pixels of the longer side, of pictures that are only looked at later


class SampledPicture(NamedTuple):
    """latent: [1, C, ...] as the sampler left it; picture: IMAGE [1, H, W, C], of a video its first frame."""
    latent: Tensor
    picture: Tensor


class Sampling(NamedTuple):
    """How pictures are drawn. positive: CONDITIONING, of which every entry is a prompt of its own."""
    positive: list
    negative: list
    latent: dict
    vae: object
    steps: int
    cfg: float
    sampler: str
    scheduler: str

    @property
    def prompts(self) -> int:
        return len(self.positive)

    def draw(self, model, prompt: int, seed: int) -> SampledPicture:
        """The picture of prompt number `prompt`, as KSampler draws it from `seed`; honours Cancel at every step."""
        latent = self._sample(model, prompt, seed)
        return SampledPicture(latent, self.decode(latent))

    def _sample(self, model, prompt, seed):
        require("sampling")
        image = self.empty_latent(model)
        noise = comfy.sample.prepare_noise_inner(image, torch.Generator().manual_seed(seed))
        return comfy.sample.sample(
            model, noise, self.steps, self.cfg, self.sampler, self.scheduler, [self.positive[prompt]], self.negative,
            image, noise_mask=self.latent.get("noise_mask"), callback=check_cancel, disable_pbar=True, seed=seed)

    def answer(self, model) -> Tensor:
        """What the model makes of noise in one step: tells models apart that call themselves alike. Some schedules are
        not numbers where there is one step."""
        return self._replace(steps=1, sampler="euler", scheduler="simple")._sample(model, prompt=0, seed=0)

    def decode(self, latent: Tensor) -> Tensor:
        return decode_picture(self.vae, latent)

    def empty_latent(self, model) -> Tensor:
        """The latent with the channels of the model, [1, C, ...]."""
        return first_latent(self.latent, model)


def first_latent(latent: dict, model) -> Tensor:
    """The first of a LATENT with the channels of the model, [1, C, ...]. Raises ValueError where it is not the model's.
    """
    samples, form = latent["samples"], model.get_model_object("latent_format")
    if samples.is_nested:
        raise ValueError("latent_image: expected one tensor, got video and sound in one latent")
    if not len(samples):
        raise ValueError("latent_image: expected at least one latent, got none")
    spacial, temporal = (latent.get(f"downscale_ratio_{kind}") for kind in ("spacial", "temporal"))
    image = comfy.sample.fix_empty_latent_channels(model, samples[:1], spacial, temporal)
    wanted, got = (form.latent_channels, form.latent_dimensions), (image.shape[1], image.ndim - 2)
    if got != wanted:
        raise ValueError(f"latent_image: expected {_shaped(*wanted)}, as the model has them, got {_shaped(*got)}; "
                         "connect the empty latent that belongs to the model, or one from its VAE")
    return image


def _shaped(channels: int, dimensions: int) -> str:
    kind = {1: "sound or another line", 2: "a picture", 3: "a video"}.get(dimensions, f"{dimensions} dimensions")
    return f"{channels} channels of {kind}"


def decode_picture(vae, latent: Tensor) -> Tensor:
    """IMAGE [1, H, W, C], of a video its first frame. Raises ValueError where it cannot be judged."""
    picture = vae.decode(latent)
    picture = picture.reshape(-1, *picture.shape[-3:])[:1]
    try:
        check(picture)
    except ValueError as error:
        why = str(error).removeprefix("images: ")
        raise ValueError(f"latent_image: what it was decoded to cannot be judged: {why}") from None
    return picture


def shrunk_for_sheet(picture: Tensor) -> Tensor:
    """IMAGE or planes of it [B, H, W, C], as small as it is kept for a sheet."""
    scale = min(1.0, SHEET_SIDE / max(picture.shape[1:3]))
    size = [max(1, round(side * scale)) for side in picture.shape[1:3]]
    return F.interpolate(picture.movedim(-1, 1).float(), size, mode="area").movedim(1, -1)


def check_cancel(step, denoised, latent, steps):
    """What a sampler calls at every step."""
    comfy.model_management.throw_exception_if_processing_interrupted()
