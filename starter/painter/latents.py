"""A pool of pictures as latents, each also mirrored, and each at half its size for the first part of the training.

    python starter/painter/latents.py POOL VAE.safetensors     # writes latents_32.npy and latents_16.npy into POOL

Goes on where an earlier call stopped. [2 N, 16, side, side] float16 in model space: picture k at 2 k, its mirror image
at 2 k + 1.
"""
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from painter import pool, vae  # noqa: E402

SIDES, AT_ONCE = (32, 16), 8


def opened(folder: Path, side: int) -> np.ndarray:
    """[2 N, 16, side, side] float16, read from the disk as needed."""
    return np.load(folder / f"latents_{side}.npy", mmap_mode="r")


def load_vae(path: Path) -> vae.Autoencoder:
    net = vae.Autoencoder()
    net.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return net.eval()


def encode(net: vae.Autoencoder, pictures: np.ndarray, side: int) -> np.ndarray:
    """[2 B, 16, side, side] of pictures [B, 256, 256, 3] uint8."""
    images = torch.from_numpy(np.array(pictures)).movedim(-1, 1).float() / 255
    images = torch.stack([images, images.flip(-1)], 1).flatten(0, 1)
    images = torch.nn.functional.interpolate(images, (8 * side, 8 * side), mode="area")
    with torch.inference_mode():
        return net.encode(images).half().numpy()


@torch.inference_mode()
def given_back(net: vae.Autoencoder, picture: np.ndarray) -> np.ndarray:
    """A picture [256, 256, 3] uint8 through encoder and decoder, its latent in half precision as training sees it."""
    image = torch.from_numpy(np.array(picture)).movedim(-1, 0)[None].float() / 255
    back = net.decode(net.encode(image).half().float())
    return (back[0].movedim(0, -1).clamp(0, 1) * 255).round().byte().numpy()


def fill(folder: Path, path: Path):
    """Encodes what is not encoded yet."""
    pictures, _ = pool.opened(folder)
    net, mark = load_vae(path), folder / "encoded.txt"
    done = int(mark.read_text()) if mark.exists() else 0
    shape = lambda side: (2 * len(pictures), vae.LATENT_CHANNELS, side, side)
    files = {side: folder / f"latents_{side}.npy" for side in SIDES}
    boards = {side: np.lib.format.open_memmap(f, mode="r+" if done else "w+", dtype=np.float16, shape=shape(side))
              for side, f in files.items()}
    for start in range(done, len(pictures), AT_ONCE):
        some = pictures[start:start + AT_ONCE]
        for side, board in boards.items():
            board[2 * start:2 * (start + len(some))] = encode(net, some, side)
            board.flush()
        mark.write_text(str(start + len(some)))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python starter/painter/latents.py POOL VAE.safetensors")
    fill(Path(sys.argv[1]), Path(sys.argv[2]))
