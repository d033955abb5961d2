"""Cross-attention by region: what a place reads of the words depends on the regions it lies in.

out = A(x) + sum_r M_r (A_r(x) - A(x)), with A_r the attention over the words of region r, whose keys and values have
the LoRA of r. A_r is worked out for the places of r alone, and A for those that no region has to itself.
"""
from collections.abc import Sequence

import torch
from torch import Tensor

from ..applying.bypass import put_back
from .regions import Regions
from .token_streams import CROSS


class RegionalCrossAttention:
    """A cross-attention whose places in a region read that region's words, with its LoRA on keys and values."""

    def __init__(self, module: torch.nn.Module, regions: Regions, numbers: Sequence[int]):
        self.module, self.regions, self.numbers = module, regions, list(numbers)
        self.own, self.before, self.active = vars(module).get("forward"), module.forward, True
        module.forward = self

    def __call__(self, x, *args, **kwargs):
        context = args[0] if args else kwargs.get("context")
        if not self.active or context is None or context is x:
            return self.before(x, *args, **kwargs)
        call, count = self.regions.now(), x.shape[1]
        read = lambda places, number: self._read_at(call, places, number, x, context, args, kwargs)
        rest = call.masks.shared(tuple(self.numbers), count, x)
        base = read(rest, None) if len(rest) == count else x.new_zeros(x.shape)
        if 0 < len(rest) < count:
            base = base.index_copy(1, rest, read(rest, None))
        out = base
        for number in self.numbers:
            places = call.masks.inside(number, count, x)
            if len(places):
                share = call.masks.tokens(count, CROSS, (number,), x)[:, places]
                out = out.index_add(1, places, share * (read(places, number) - base[:, places]))
        return out

    def _read_at(self, call, places, number, x, context, args, kwargs):
        """What these places of x read as those of a region, or of none."""
        own, named = self._words(call, number, context, args, kwargs)
        with call.only(number, places, x.shape[1]):
            return self.before(x if len(places) == x.shape[1] else x[:, places], *own, **named)

    def _words(self, call, number, context, args, kwargs):
        """The arguments with the words that a region reads, of all that lie behind one another."""
        if call.parts == 1:
            return args, kwargs
        order = self.regions.with_words
        place = order.index(number) + 1 if number in order else 0
        picture = kwargs.get("context_img_len") or 0
        cut = lambda words: _cut(words, place, call.parts, picture)
        if args:
            return (cut(args[0]), *args[1:]), kwargs
        named = {name: cut(kwargs[name]) for name in ("context", "value") if kwargs.get(name) is not None}
        return args, kwargs | named

    def stop(self) -> None:
        """Takes itself off; where another wraps it meanwhile it only lets everything through."""
        self.active = False
        put_back(self.module, self, self.own)


def _cut(words: Tensor, place: int, parts: int, picture: int) -> Tensor:
    """Part `place` of words [batch, picture + parts * tokens, width]; what is of a picture comes first and stays."""
    before, behind = words[:, :picture], words[:, picture:]
    length = behind.shape[1] // parts
    return torch.cat([before, behind.narrow(1, place * length, length)], 1)
