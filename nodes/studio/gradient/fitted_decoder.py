"""A decoder that costs next to nothing: a linear map from latents to pictures, and one back, fitted to a VAE once."""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PICTURES, HELD_OUT, SIDE, SEED = 8, 2, 256, 1
PIXELS_PER_CELL = 4  # along a side of a latent cell; P in the shapes below
RIDGE = 1e-4


class LinearDecoder(NamedTuple):
    """weight: [3 P^2, C, 3, 3]; bias: [3 P^2]; inverse: [C, 3 P^2, 3, 3], from pictures to latents; explained: share of
    the variance of pictures not fitted to."""
    weight: Tensor
    bias: Tensor
    inverse: Tensor
    explained: float

    def on(self, device: torch.device, copy: bool = False) -> "LinearDecoder":
        """The same on a device, as tensors that autograd may keep."""
        with torch.inference_mode(False):
            moved = (part.to(device, copy=copy) for part in (self.weight, self.bias, self.inverse))
            return LinearDecoder(*moved, self.explained)

    def __call__(self, cells: Tensor) -> Tensor:
        """[B, C, h, w] -> sRGB [B, 3, P * h, P * w], 0..1."""
        return F.pixel_shuffle(_with_neighbours(cells, self.weight, self.bias.to(cells)), PIXELS_PER_CELL).clamp(0, 1)

    def latent_change(self, pictures: Tensor) -> Tensor:
        """The change of latents [B, C, h, w] that makes a change of pictures [B, 3, P * h, P * w]."""
        return _with_neighbours(F.pixel_unshuffle(pictures, PIXELS_PER_CELL), self.inverse)


def _with_neighbours(cells: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear map of each cell with its eight neighbours; beyond the rim the rim goes on."""
    return F.conv2d(F.pad(cells, (1, 1, 1, 1), "replicate"), weight.to(cells), bias)


def dead_leaves(count: int, side: int, generator: torch.Generator) -> Tensor:
    """sRGB [count, 3, side, side] of discs that hide each other, of many sizes, as things in photographs do.

    Radii fall off as their cube (Lee, Mumford & Huang 2001); each disc is shaded from one colour to another."""
    at = torch.arange(side, dtype=torch.float32)
    pictures = torch.rand(count, 3, 1, 1, generator=generator).repeat(1, 1, side, side)
    for picture in pictures:
        for _ in range(150):
            x, y, size, turn = torch.rand(4, generator=generator).tolist()
            radius = side / 40 / (1 - 0.99 * size) ** 0.5
            across = (at - x * side)[None] * turn + (at - y * side)[:, None] * (1 - turn)
            inside = ((at - x * side)[None] ** 2 + (at - y * side)[:, None] ** 2) < radius ** 2
            one, other = torch.rand(2, 3, 1, 1, generator=generator)
            picture[:, inside] = torch.lerp(one, other, (across / radius).clamp(-1, 1) / 2 + 0.5)[:, inside]
    return pictures


def fit(encode) -> LinearDecoder:
    """Least squares over encoded dead leaves. encode: IMAGE [1, H, W, 3] -> the model's latent [1, C, h, w]."""
    pictures = dead_leaves(PICTURES, SIDE, torch.Generator().manual_seed(SEED))
    latents = torch.cat([encode(picture.movedim(0, -1)[None]) for picture in pictures]).double().cpu()
    small = F.interpolate(pictures, [PIXELS_PER_CELL * length for length in latents.shape[2:]], mode="area")
    dots = F.pixel_unshuffle(small, PIXELS_PER_CELL).double()
    weight, bias, explained = _solved(latents, dots)
    return LinearDecoder(weight, bias, _solved(dots, latents)[0], explained)


def _solved(cells: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, float]:
    """The linear map from cells [N, C, h, w], each with its neighbours, to [N, K, h, w]: (weight [K, C, 3, 3],
    bias [K], share of the variance that it explains in the HELD_OUT last)."""
    around = F.unfold(F.pad(cells, (1, 1, 1, 1), "replicate"), 3)                       # [N, 9C, cells]
    seen = torch.cat([around, torch.ones_like(around[:, :1])], 1).movedim(1, -1)
    wanted, known = wanted.flatten(2).movedim(1, -1), len(cells) - HELD_OUT
    x, y = seen[:known].flatten(0, 1), wanted[:known].flatten(0, 1)
    normal = x.T @ x
    solved = torch.linalg.solve(normal + RIDGE * normal.diagonal().mean() * torch.eye(len(normal)).double(), x.T @ y)
    error = (seen[known:] @ solved - wanted[known:]).square().mean() / wanted[known:].var((0, 1)).mean()
    weight = solved[:-1].T.reshape(-1, cells.shape[1], 3, 3)
    return weight.float(), solved[-1].float(), 1 - error.item()
