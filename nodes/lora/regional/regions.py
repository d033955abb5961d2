"""The regions of a model while it is sampled: the masks of the call that is running, and the regions' own words."""
import math
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from .token_masks import TokenMasks
from .token_streams import PICTURE, Family, patch_size

COND = 0        # the host's number of what is drawn with the prompt, in cond_or_uncond


class Region(NamedTuple):
    """mask: [masks, rows, columns], 0 to 1. words: [1, tokens, width] in place of the prompt's, or None."""
    name: str
    mask: Tensor
    words: Tensor | None = None


class Call:
    """One call of the model."""

    def __init__(self, masks: TokenMasks, parts: int):
        self.masks, self.parts = masks, parts
        self.active: int | None = None
        """The region whose words and cross-attention are worked out at this moment."""
        self.picked: Tensor | None = None
        """The places of the picture that are worked out at this moment; None for all."""

    def weights(self, stream: str, owners: tuple[int, ...], like: Tensor, layer) -> Tensor:
        """The mask of each owner, shaped to meet a tensor of a layer. Raises ValueError for tokens of no picture."""
        if layer.options is not None:
            return self.masks.map(like.shape[2:], owners, like)
        return self.at(stream, owners, like)

    def at(self, stream: str, owners: tuple[int, ...], like: Tensor) -> Tensor:
        """[batch or 1, tokens, channels] for a sequence."""
        if like.ndim != 3:
            raise ValueError(f"model: expected tokens of a picture [batch, tokens, width], got {list(like.shape)} in a "
                             "layer that Regional LoRA changes.")
        if self.picked is None:
            return self.masks.tokens(like.shape[1], stream, owners, like)
        return self.masks.tokens(self._count, PICTURE, owners, like)[:, self.picked]

    @contextmanager
    def only(self, region: int | None, places: Tensor, count: int):
        """While it lasts only these of `count` places are worked out, as those of a region."""
        self._count, self.active, self.picked = count, region, places
        try:
            yield
        finally:
            self.active = self.picked = None


class Regions:
    """All regions of one model, and the wrappers that tell them each call."""

    def __init__(self, regions: Sequence[Region], family: Family, diffusion_model: torch.nn.Module, frame_ratio: int):
        self.regions, self.family = tuple(regions), family
        self.patch, self.frame_ratio = patch_size(diffusion_model), frame_ratio
        self.padding = (getattr(diffusion_model, "pad_tokens_multiple", None) or 1) if family.picture_last else 0
        self._whole, self._kept = None, {}
        self._running = threading.local()       # on several cards the host calls a copy of the model on each at once

    def now(self) -> Call:
        """The call that is running. Raises RuntimeError outside of one."""
        call = getattr(self._running, "call", None)
        if call is None:
            raise RuntimeError("Regional LoRA: the model was called past ComfyUI's sampling, which tells where the "
                               "regions lie; use its samplers.")
        return call

    @property
    def with_words(self) -> list[int]:
        return [number for number, region in enumerate(self.regions) if region.words is not None]

    def calc_cond_batch(self, executor, model, conds, x_in, timestep, model_options):
        """Wrapper: remembers the size of the whole picture."""
        self._whole = tuple(x_in.shape[2:])
        try:
            return executor(model, conds, x_in, timestep, model_options)
        finally:
            self._whole = None

    def apply_model(self, executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None,
                    **more):
        """Wrapper: the masks for this batch, and the regions' words behind those of the prompt."""
        transformer_options = {} if transformer_options is None else transformer_options
        if self._whole and tuple(x.shape[2:]) != self._whole:
            raise ValueError("positive: expected prompts for the whole picture or with a mask, got one for an area; "
                             "Regional LoRA does not know which part of the picture it is.")
        chunks = transformer_options.get("cond_or_uncond") or [COND]
        words = 0 if c_crossattn is None else c_crossattn.shape[1]
        masks = self._masks(x, len(chunks), words)
        if self.with_words:
            c_crossattn = self._with_words(c_crossattn, chunks)
        self._running.call = Call(masks, 1 + len(self.with_words))
        try:
            return executor(x, t, c_concat, c_crossattn, control, transformer_options, **more)
        finally:
            self._running.call = None

    def release(self) -> None:
        self._kept.clear()

    def _masks(self, x, chunks, words) -> TokenMasks:
        key = (tuple(x.shape), chunks, words)
        if key not in self._kept:
            self._kept[key] = TokenMasks([region.mask for region in self.regions], x.shape, chunks, self.patch, words,
                                         self.padding, self.family.levels, self.family.references,
                                         self.frame_ratio)
        return self._kept[key]

    def _with_words(self, context: Tensor, chunks: Sequence[int]) -> Tensor:
        """[batch, parts * tokens, width]: the prompt's words, then each region's; without prompt always the same.

        Words are repeated to one length, which a softmax over them does not notice."""
        own = [self.regions[number].words.to(context) for number in self.with_words]
        if odd := [each.shape[-1] for each in own if each.shape[-1] != context.shape[-1]]:
            raise ValueError(f"words: expected the words of this model's text encoder, {context.shape[-1]} wide, got "
                             f"{odd[0]}.")
        length = math.lcm(context.shape[1], *(each.shape[1] for each in own))
        fitted = lambda words: words.repeat(1, length // words.shape[1], 1)
        prompted = torch.tensor([kind == COND for kind in chunks], device=context.device)
        prompted = prompted.repeat_interleave(len(context) // len(chunks))[:, None, None]
        base = fitted(context)
        return torch.cat([base, *(torch.where(prompted, fitted(each), base) for each in own)], 1)
