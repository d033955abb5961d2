"""A decoder that costs next to nothing: a linear map from latents to pictures, and one back, fitted to a VAE once."""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PICTURES, HELD_OUT, SIDE, SEED = 8, 2, 256, 1
DOTS = 4  # to a side of a latent cell
RIDGE = 1e-4


class LinearDecoder(NamedTuple):
    """weight: [3 * DOTS^2, C, 3, 3]; bias: [3 * DOTS^2]; back: [C, 3 * DOTS^2, 3, 3]; explained: share of the variance
    of pictures not fitted to."""
    weight: Tensor
    bias: Tensor
    back: Tensor
    explained: float

    def __call__(self, cells: Tensor) -> Tensor:
        """[B, C, h, w] -> sRGB [B, 3, DOTS * h, DOTS * w], 0..1."""
        return F.pixel_shuffle(_around(cells, self.weight, self.bias.to(cells)), DOTS).clamp(0, 1)

    def change(self, pictures: Tensor) -> Tensor:
        """The change of latents [B, C, h, w] that makes a change of pictures [B, 3, DOTS * h, DOTS * w]."""
        return _around(F.pixel_unshuffle(pictures, DOTS), self.back)


def _around(cells: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
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
    small = F.interpolate(pictures, [DOTS * length for length in latents.shape[2:]], mode="area")
    dots = F.pixel_unshuffle(small, DOTS).double()
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
