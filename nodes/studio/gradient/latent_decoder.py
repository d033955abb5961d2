"""Cheap decoders that a gradient can pass: latents as the sampler holds them -> pictures."""
import copy
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import folder_paths
import latent_preview
import torch
from torch import Tensor

from ....kernels.constants import constant
from ...shared.host_capabilities import require
from . import COLOURS, FITTED, FULL, TINY
from .fitted_decoder import fit

VIDEO_TINY = ("taehv", "lighttae", "taeltx")


class Decoder(NamedTuple):
    """`decode` maps latents in the model's space, [B, C, h, w] or [B, C, F, h, w], to float sRGB, 0..1, and has
    to be called outside of inference mode.

    Of a video every latent frame is a picture: [B * F, 3, H, W], those of one video in a row. `detail` says whether
    the pictures show more than one colour for each latent cell. `latent_change` takes a change of the pictures to
    the change of latents [B * F, C, h, w] that makes it, where that is known.
    """
    name: str
    decode: Callable[[Tensor], Tensor]
    detail: bool
    latent_change: Callable[[Tensor], Tensor] | None = None


def decoder(model, choice: str = "auto", vae=None) -> Decoder:
    """The decoder of a MODEL: one fitted to the connected VAE, else the host's colours of a latent, else its TAESD, or
    the choice.

    Raises ValueError with one sentence where there is none.
    """
    form = _with_own_tensors(model.model.latent_format)
    if form.latent_dimensions == 1:
        raise ValueError(f"model: expected one that makes pictures, got latents of {_name(form)}")
    if choice == "auto":
        tiny = _tiny_path(form)
        choice = FITTED if vae is not None else COLOURS if form.latent_rgb_factors else TINY if tiny else FULL
        if choice == FULL:
            raise ValueError(f"model: the host knows no colours for latents of {_name(form)}; connect a VAE")
    return {COLOURS: _colours, TINY: _tiny, FULL: _full, FITTED: _fitted}[choice](form, vae)


def _colours(form, vae) -> Decoder:
    if not form.latent_rgb_factors:
        raise ValueError(f"decoder: the host knows no colours for latents of {_name(form)}; connect a VAE and choose "
                         f"auto or {FULL}")
    factors, bias = tuple(map(tuple, form.latent_rgb_factors)), form.latent_rgb_factors_bias

    def decode(latent: Tensor) -> Tensor:
        cells = frames(latent if form.latent_rgb_factors_reshape is None else form.latent_rgb_factors_reshape(latent))
        rgb = torch.einsum("bchw,cd->bdhw", cells, constant(factors, cells))
        return _unit(rgb if bias is None else rgb + constant(tuple(bias), cells)[:, None, None])

    return Decoder("the host's colours of a latent", decode, form.spacial_downscale_ratio == 1)


def _tiny(form, vae) -> Decoder:
    require("tiny decoders")
    from comfy.taesd.taesd import TAESD  # only now: a host without it still has the other decoders
    path = _tiny_path(form)
    if path is None:
        wanted = form.taesd_decoder_name
        raise ValueError("decoder: " + (
            f"expected {wanted} in models/vae_approx, found none" if wanted and not _decodes_video(wanted)
            else f"there is no TAESD for latents of {_name(form)}") + f"; put it there, or choose {COLOURS} or {FULL}")
    network = TAESD(None, path, latent_channels=form.latent_channels).requires_grad_(False)
    return Decoder(TINY, lambda latent: _unit(_decoded_by(network, frames(latent))), True)


def _fitted(form, vae) -> Decoder:
    _check(vae, FITTED)
    with torch.inference_mode():
        found = fit(lambda image: frames(form.process_in(vae.encode(image))))
    with torch.inference_mode(False):
        found = found.on(torch.device("cpu"), copy=True)
    on = lru_cache(found.on)        # brought to a device once, not at every step
    return Decoder(f"a linear map fitted to the VAE, which explains {found.explained:.1%} of pictures it never saw",
                   lambda latent: on(latent.device)(frames(latent)), True,
                   lambda change: on(change.device).latent_change(change))


def _full(form, vae) -> Decoder:
    _check(vae, FULL)
    dtype = torch.float32 if vae.vae_dtype == torch.float16 else vae.vae_dtype  # small gradients vanish in float16

    def decode(latent: Tensor) -> Tensor:
        cells = frames(form.process_out(latent)).to(dtype)
        rgb = _decoded_by(vae.first_stage_model, cells[:, :, None] if vae.latent_dim == 3 else cells).float()
        return frames(vae.process_output(rgb))[:, :3]

    return Decoder("the VAE", decode, True)


def _check(vae, choice: str) -> None:
    if vae is None:
        raise ValueError(f"vae: expected a VAE for the choice {choice}, got none; connect it or choose auto")
    if vae.latent_dim not in (2, 3) or vae.output_channels not in (3, 4):
        raise ValueError("vae: expected one of pictures, got one of sound or shapes")


def frames(latent: Tensor) -> Tensor:
    """[B, C, F, h, w] -> [B * F, C, h, w], the frames of one video in a row; pictures as they are."""
    if latent.ndim not in (4, 5):
        raise ValueError("model: expected latents of pictures or of video, got video and sound packed into one")
    return latent.movedim(2, 1).flatten(0, 1) if latent.ndim == 5 else latent


class _Decoding(torch.nn.Module):
    """`functional_call` calls `forward`; what is wanted is `decode`."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, cells):
        return self.network.decode(cells)


def _decoded_by(network, cells: Tensor) -> Tensor:
    """network.decode(cells) in the type of `cells`, with copies of its weights on their device.

    The loaders make weights in inference mode, which autograd may not keep, and the weights stay where the host put
    them: nothing is loaded or unloaded between two steps of a sampler.
    """
    decoding = _Decoding(network)
    weights = {name: tensor.detach().to(cells if tensor.is_floating_point() else cells.device, copy=True)
               for name, tensor in (*decoding.named_parameters(), *decoding.named_buffers())}
    return torch.func.functional_call(decoding, weights, (cells,))


def _with_own_tensors(form):
    """The latent format with tensors of its own: those that it was loaded with may be inference tensors."""
    own = copy.copy(form)
    with torch.inference_mode(False):
        vars(own).update({name: value.clone() for name, value in vars(form).items() if isinstance(value, Tensor)})
    return own


def _unit(picture: Tensor) -> Tensor:
    return ((picture + 1) / 2).clamp(0, 1)


def _decodes_video(name: str) -> bool:
    """Whether a tiny decoder is one of the host's for video, another class; its own table knows newer ones too."""
    return name.startswith((*VIDEO_TINY, *getattr(latent_preview, "VIDEO_TAES", ())))


def _tiny_path(form) -> str | None:
    name = form.taesd_decoder_name
    if not name or _decodes_video(name):
        return None
    files = folder_paths.get_filename_list("vae_approx")
    found = next((file for file in files if file.startswith(name)), None)
    return found and folder_paths.get_full_path("vae_approx", found)


def _name(form) -> str:
    return type(form).__name__
