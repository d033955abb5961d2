"""Latents of pictures, from a VAE or from what an earlier run kept on disk."""
import hashlib
from pathlib import Path

import comfy.utils
import folder_paths
import torch
from safetensors import SafetensorError

from ...lora.file.files import write_lora

FOLDER = "bottega/latents"


class Latents:
    """Encodes pixels [1, H, W, 3] one by one; with `cache` the results are kept below ComfyUI's user folder."""

    def __init__(self, vae, cache: bool):
        self.vae, self.folder = vae, None
        self.reused = 0
        if cache:
            self.folder = Path(folder_paths.get_user_directory()) / FOLDER
            self.identity = identity(vae)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """The latent [1, C, ...] as the VAE gives it, fp32 on the CPU."""
        if self.folder is None:
            return self._encode(pixels)
        key = hashlib.sha256(self.identity + str(tuple(pixels.shape)).encode() + pixels.numpy().tobytes()).hexdigest()
        path = self.folder / f"{key}.safetensors"
        kept = _read(path)
        if kept is None:
            kept = self._encode(pixels)
            write_lora(path, {"latent": kept}, {})
        else:
            self.reused += 1
        return kept

    def _encode(self, pixels):
        return self.vae.encode(pixels).float().cpu()


def pixel_step(vae) -> int:
    """Width and height of what one patch of a model sees of the picture: two latent pixels."""
    return 2 * int(vae.spacial_compression_encode())


def identity(vae) -> bytes:
    """A fingerprint of a VAE: names, shapes and a part of the numbers of its weights."""
    digest = hashlib.sha256()
    for name, weight in vae.first_stage_model.state_dict().items():
        some = weight.flatten()[:64].float().cpu().contiguous().numpy().tobytes()
        digest.update(f"{name} {tuple(weight.shape)}".encode() + some)
    return digest.digest()


def _read(path: Path) -> torch.Tensor | None:
    """What was kept, None where there is nothing or it is damaged."""
    if not path.is_file():
        return None
    try:
        return comfy.utils.load_torch_file(str(path), safe_load=True)["latent"].clone()
    except (SafetensorError, KeyError, OSError, ValueError):
        return None
