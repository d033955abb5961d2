"""Several LoRAs on one weight, joined so that they do not fight: rules from the literature of model merging.

With D_i the change that LoRA i would make at its strength:

    sum         sum_i D_i
    ties        each D_i keeps its largest entries; a sign is elected for every entry; the mean of those that agree
                (Yadav et al. 2023, arXiv:2306.01708)
    dare        each D_i loses entries at random and the rest grow by 1 / density; their sum
                (Yu et al. 2023, arXiv:2311.03099)
    dare ties   entries lost at random as in dare, signs elected as in ties
    della       as dare, but small entries of a row are lost more often than large ones; signs elected as in ties
                (Deep et al. 2024, arXiv:2406.11617)
    knots       [D_1 | D_2 | ...] = U S [V_1 | V_2 | ...], ties of the S V_i, and U times what comes of it: the rules
                are asked in directions that the LoRAs share, not of single numbers
                (Stoica et al. 2024, arXiv:2410.19735)

All but the sum can make the joint change weaker or stronger than its parts, so it can be brought to the size that
unrelated changes have together, sqrt(sum_i |D_i|^2).
"""
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import comfy.lora
import torch
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor

from .energy import needs_weight

SUM, TIES, DARE, DARE_TIES, DELLA, KNOTS = METHODS = ("sum", "ties", "dare", "dare ties", "della", "knots")
SMALL = 1e-4        # of knots: singular values below this share of the largest are rounding
MIXTURES = 128      # of knots: columns that are tried first
SPREAD = 0.1        # of della: how far the share that is kept differs between the smallest and the largest of a row


class Combination(NamedTuple):
    """How LoRAs on one weight are joined. density: the share of entries that each keeps, above 0, at most 1."""
    method: str = SUM
    density: float = 0.5
    keep_size: bool = True
    seed: int = 0


class CombinedChange(WeightAdapterBase):
    """The joint change of several LoRAs on one weight, worked out when the host patches it; none of its size is kept.

    weights: (a Combination as a tuple, the weight's key, one tuple of patch rows for each LoRA). Everything is in this
    tuple because the host rebuilds adapters as type(adapter)(loaded_keys, prefetched weights)."""
    name = "combined"

    def __init__(self, loaded_keys: set[str], weights: tuple):
        self.loaded_keys, self.weights = loaded_keys, weights

    @property
    def needs_weight(self) -> bool:
        """Whether the change of one of the LoRAs depends on the weight."""
        return any(map(_depends, self.weights[2:]))

    def calculate_weight(self, weight, key, strength, strength_model, offset, function,
                         intermediate_dtype=torch.float32, original_weight=None):
        how, own_key, *layers = self.weights
        before = weight.to(torch.float32)
        changes = [_change(list(rows), before, key) for rows in layers]
        joined = combine(changes, Combination(*how), own_key)
        return (before + strength * (function(joined) if function else joined)).to(weight.dtype)


def _depends(rows: Sequence[tuple]) -> bool:
    return any(row[2] != 1.0 or needs_weight(row[1]) for row in rows)


def _change(rows: list[tuple], before: Tensor, key: str) -> Tensor:
    """What the patches of one LoRA add; from 0 where they do not look at the weight, which rounds least."""
    if not _depends(rows):
        before = torch.zeros_like(before)
    return comfy.lora.calculate_weight(rows, before.clone(), key) - before


def combined(how: Combination, key: str, layers: Sequence[Sequence[tuple]]) -> CombinedChange:
    """layers: for each LoRA its rows as ModelPatcher.patches holds them, on one weight."""
    return CombinedChange(set(), (tuple(how), key, *map(tuple, layers)))


def combine(changes: Sequence[Tensor], how: Combination, key: str = "") -> Tensor:
    """The joint change of changes of one shape. key: of the weight, which is drawn for by itself."""
    if how.method == SUM:
        return torch.stack(list(changes)).sum(0)
    if how.method == KNOTS:
        joined = in_shared_directions(changes, how.density)
        return sized(joined, changes) if how.keep_size else joined
    generator = torch.Generator().manual_seed(how.seed ^ zlib.crc32(key.encode()))
    kept = {TIES: largest, DARE: at_random, DARE_TIES: at_random, DELLA: by_rank}[how.method]
    left = torch.stack([kept(change, how.density, generator) for change in changes])
    joined = left.sum(0) if how.method == DARE else mean_of_elected(left)
    return sized(joined, changes) if how.keep_size else joined


def largest(change: Tensor, density: float, _generator=None) -> Tensor:
    """The share `density` of the entries with the largest magnitudes; the others are 0."""
    kept = change.abs().flatten().topk(int(density * change.numel())).indices
    mask = torch.zeros_like(change).flatten()
    mask[kept] = 1
    return change * mask.view_as(change)


def at_random(change: Tensor, density: float, generator: torch.Generator) -> Tensor:
    """Each entry with probability `density`, over that probability."""
    chance = torch.full(change.shape, density)
    return change * torch.bernoulli(chance, generator=generator).to(change) / density


def by_rank(change: Tensor, density: float, generator: torch.Generator) -> Tensor:
    """Each entry with a probability that grows with its rank in its row, `density` on average, over `density`'s share.

    What is lost is made up for in the sum of magnitudes, as DELLA's authors do in mergekit."""
    spread = min(SPREAD, 0.99 * density, 0.99 * (1 - density))
    rows = change.reshape(len(change), -1) if change.ndim > 1 else change[None]
    ranks = rows.abs().argsort(1).argsort(1).to(torch.float32)
    chance = density - spread + 2 * spread * ranks / max(1, rows.shape[1] - 1)
    kept = rows * torch.bernoulli(chance.cpu(), generator=generator).to(rows)
    return (kept * (rows.abs().sum() / kept.abs().sum().clamp_min(1e-7))).view_as(change)


def mean_of_elected(left: Tensor) -> Tensor:
    """[LoRAs, ...]: for every entry the mean over those whose sign is that of the sum."""
    agree = left.sign() == torch.where(left.sum(0) >= 0, 1.0, -1.0)
    return (left * agree).sum(0) / agree.sum(0).clamp(min=1)


def in_shared_directions(changes: Sequence[Tensor], density: float) -> Tensor:
    """KnOTS with TIES: changes [out, ...] are turned into their common left singular vectors and joined there."""
    rows = [change.reshape(len(change), -1) for change in changes]
    wide = [row.double() if row.is_cuda else row.cpu().double() for row in rows]
    shared = shared_directions(wide)
    turned = torch.stack([largest(shared.T @ row, density) for row in wide])
    return (shared @ mean_of_elected(turned)).to(changes[0]).view_as(changes[0])


def shared_directions(rows: Sequence[Tensor]) -> Tensor:
    """The left singular vectors [out, rank] of float64 matrices [out, in] side by side, without those of rounding.

    LoRAs have a low rank, so they are looked for in the span of a few random mixtures of the columns, and of more only
    where those do not hold everything (Halko et al. 2011)."""
    basis = _span(rows)
    inside = [basis.T @ row for row in rows]
    squares, vectors = torch.linalg.eigh(sum(row @ row.T for row in inside))
    return basis @ vectors[:, squares > SMALL ** 2 * squares.max().clamp_min(1e-300)]


def _span(rows: Sequence[Tensor]) -> Tensor:
    total, count = sum(row.square().sum() for row in rows), MIXTURES
    while count < len(rows[0]):
        basis = torch.linalg.qr(_mixed(rows, count)).Q
        if total - sum((basis.T @ row).square().sum() for row in rows) <= SMALL ** 2 * total:
            return basis
        count *= 4
    return torch.eye(len(rows[0]), dtype=rows[0].dtype, device=rows[0].device)


def _mixed(rows: Sequence[Tensor], count: int) -> Tensor:
    """[out, count]: so many random mixtures of all columns, the same in every run."""
    generator = torch.Generator().manual_seed(count)
    return sum(row @ torch.randn(row.shape[1], count, generator=generator, dtype=row.dtype).to(row.device)
               for row in rows)


def sized(joined: Tensor, changes: Sequence[Tensor]) -> Tensor:
    """The joint change at the size that unrelated changes have together."""
    wanted = torch.stack([change.square().sum() for change in changes]).sum().sqrt()
    return joined * (wanted / joined.norm().clamp_min(1e-12))


def check(how: Combination) -> None:
    """Raises ValueError with one sentence for numbers out of range: the host checks widgets, not links."""
    if how.method not in METHODS:
        raise ValueError(f"combine: expected one of {', '.join(METHODS)}, got {how.method!r}")
    if not 0 < how.density <= 1:
        raise ValueError(f"density: expected a share above 0, at most 1, got {how.density}")
    if how.method == DELLA and how.density == 1:
        raise ValueError("density: expected less than 1 for della, which has to leave something out, got 1")
