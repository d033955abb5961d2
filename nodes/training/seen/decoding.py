"""From a latent to a picture that can be looked at: through the VAE, or the host's quick preview of latents."""
import numpy as np
import torch
from latent_preview import Latent2RGBPreviewer
from PIL import Image

PREVIEW_SCALE = 8       # pixels of a preview for one of the latent


def decode(latent: torch.Tensor, model, vae=None) -> Image.Image:
    """latent [1, C, ...] as the VAE gives it; of a video the first frame. Without a VAE a preview in the colours the
    host knows for `model`'s latents, or its first channel in grey."""
    if vae is not None:
        pixels = vae.decode(latent)
        pixels = pixels[0] if pixels.ndim == 4 else pixels[0, 0]
        return Image.fromarray((pixels[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())
    if not has_preview(model):
        return _plain(latent)
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
